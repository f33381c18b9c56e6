"""Confident learning lists the indices of cleanlab 2.9.0, `find_label_issues(labels, pred_probs, filter_by="confident_learning")`.

`python -m tests.metrics.test_confident_learning` prints the digest again where cleanlab is installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.metrics.scores import softmax
from raytl.metrics.suspects import confident_learning

DIGEST = "905eb05b7dc161a4e9d8114e70c96cf7bb29a00445d02c02e1230bde3ef902b2"
"""Of the masks that cleanlab 2.9.0 returns for `tables()`."""


def tables() -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Sixty tables of 2 to 7 classes, of which 15 % of the labels are drawn at random, with weak and strong probabilities."""
    result = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        classes, images = int(rng.integers(2, 8)), int(rng.integers(60, 300))
        truth = np.arange(images) % classes
        given = np.where(rng.random(images) < 0.15, rng.integers(0, classes, images), truth)
        noise, signal = rng.uniform(0.3, 3), rng.uniform(0.2, 4)
        result.append((given, softmax(rng.normal(size=(images, classes)) * noise + signal * np.eye(classes)[truth])))
    return result


def digest(method: Callable[[Any, Any], NDArray[np.bool_]]) -> str:
    masks = np.concatenate([method(given, table) for given, table in tables()])
    return hashlib.sha256(np.packbits(masks).tobytes()).hexdigest()


def test_the_listed_labels_are_those_of_cleanlab() -> None:
    assert digest(confident_learning) == DIGEST


def test_a_likely_label_is_never_listed_and_no_image_lists_nothing() -> None:
    assert not confident_learning([0, 1], np.eye(2)).any()
    assert not len(confident_learning([], np.zeros((0, 2))))


def test_a_class_without_images_speaks_for_none() -> None:
    table = [[0.1, 0.0, 0.9], [0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]
    assert confident_learning([0, 0, 1], table).tolist() == [False, False, False]


@pytest.mark.parametrize("seed", range(3))
def test_most_planted_errors_are_listed_where_the_probabilities_know_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.arange(400) % 4
    wrong = rng.random(400) < 0.1
    given = np.where(wrong, (truth + 1) % 4, truth)
    mask = confident_learning(given, softmax(rng.normal(size=(400, 4)) + 4 * np.eye(4)[truth]))
    assert mask[wrong].mean() > 0.8
    assert mask[~wrong].mean() < 0.1


if __name__ == "__main__":
    from cleanlab.filter import find_label_issues  # type: ignore[import-not-found]

    print(digest(lambda given, table: find_label_issues(given, table, filter_by="confident_learning", n_jobs=1)))
