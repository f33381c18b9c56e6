"""A method wins only if it is better beyond noise; on three cases without a gain, none wins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raytl.labelling.choose import Chosen, Labelled, choose
from tests.labelling.blobs import blobs

Case = tuple[Labelled, Labelled, np.ndarray]


def divided(labels: int, spread: float, seed: int, pool: int = 300) -> Case:
    """Three sets of one distribution: `labels` of each of 5 classes, 100 images to validate, `pool` without labels."""
    features, classes = blobs((5 * labels + 100 + pool) // 5, count=5, spread=spread, seed=seed)
    ends = 5 * labels, 5 * labels + 100
    parts = np.split(np.arange(len(classes)), ends)
    return (
        Labelled(features[parts[0]], classes[parts[0]]),
        Labelled(features[parts[1]], classes[parts[1]]),
        features[parts[2]],
    )


def test_propagation_wins_with_few_labels_in_separate_clusters() -> None:
    wins = [choose(*divided(2, 2.2, seed), count=5, fraction=0.8).method for seed in range(3)]
    assert wins.count("none") <= 1


@pytest.mark.parametrize("case", ["many labels", "random images", "one class"])
def test_none_wins_where_nothing_can_be_gained(case: str) -> None:
    chosen = []
    for seed in range(5):
        train, val, others = divided(20, 1.2, seed, 200) if case == "many labels" else divided(6, 2.5, seed, 200)
        if case == "random images":
            others = np.random.default_rng(seed).normal(size=others.shape).astype(np.float32) * 3
        if case == "one class":
            others = (
                np.repeat(others[:1], len(others), axis=0)
                + np.random.default_rng(seed).normal(size=others.shape).astype(np.float32) / 50
            )
        chosen.append(choose(train, val, others, count=5, fraction=0.8).method)
    assert chosen.count("none") >= 4, chosen


def test_images_of_one_label_compare_nothing() -> None:
    train = Labelled(np.eye(2, 4, dtype=np.float32), np.array([0, 1]))
    val = Labelled(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    chosen = choose(train, val, np.ones((3, 4), np.float32), count=2, fraction=0.8)
    assert chosen == Chosen("none", 0)
    assert chosen.text == "none, as there are too few labelled images to compare methods"


@pytest.mark.parametrize("kind", ["one group", "a group for each class"])
def test_a_class_that_one_group_has_is_learned_from_its_other_images(kind: str) -> None:
    train, val, others = divided(10, 1.0, 0, pool=50)
    groups = np.zeros(50, np.int64) if kind == "one group" else train.classes
    apart = choose(train, val, others, count=5, fraction=0.8).compared["propagate"].before
    assert (
        choose(replace(train, groups=groups), val, others, count=5, fraction=0.8).compared["propagate"].before == apart
    )
    assert apart > 0.95


def test_of_many_labelled_images_an_even_part_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.labelling.choose.MOST_LABELLED", 20)
    train, val, others = divided(12, 2.0, 0, pool=50)
    chosen = choose(replace(train, groups=np.arange(60)), val, others, count=5, fraction=0.8)
    assert 120 <= chosen.images < 125, "4 of 12 labelled images of each class, and 100 to validate"


def test_what_was_measured_is_said() -> None:
    text = choose(*divided(6, 2.0, 0), count=5, fraction=0.8).text
    assert "by balanced accuracy on 130 labelled images: none " in text
    assert "propagate" in text and "pseudo" in text and "points, p = " in text
