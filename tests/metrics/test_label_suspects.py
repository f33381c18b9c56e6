from __future__ import annotations

import numpy as np
from scipy.special import logit

from raytl.metrics.findings import Findings
from raytl.metrics.label_suspects import label_suspects
from raytl.metrics.suspects import suspects
from raytl.tasks.multilabel.findings import findings

NAMES = ("a", "b", "c")


def made(
    vectors: np.ndarray[tuple[int, ...], np.dtype[np.int8]], table: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> Findings:
    return findings(list(vectors), (logit(table), np.full(table.shape, 0.5, np.float32)), NAMES)


def test_they_are_those_of_confident_learning_of_each_label_on_its_own() -> None:
    rng = np.random.default_rng(0)
    table = rng.uniform(0.02, 0.98, (200, 3))
    vectors = (rng.random(table.shape) < table).astype(np.int8)
    expected = {
        (each.place, label, "missing" if each.suggested else "not there")
        for label in range(3)
        for each in suspects(vectors[:, label], np.stack([1 - table[:, label], table[:, label]], axis=1))
    }
    result = made(vectors, table)
    found = {
        (
            each.image,
            int(result.label[each.finding] if each.finding >= 0 else result.wanted.label[each.wanted]),
            each.kind,
        )
        for each in label_suspects(result)
    }
    assert found == expected and len(found) > 20


def test_flipped_labels_come_first() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random((400, 3)) < 0.3).astype(np.int8)
    table = np.clip(np.where(truth == 1, rng.beta(8, 2, truth.shape), rng.beta(1, 9, truth.shape)), 1e-3, 0.999)
    flipped = rng.random(truth.shape) < 0.05
    listed = label_suspects(made(np.where(flipped, 1 - truth, truth).astype(np.int8), table))
    result = made(np.where(flipped, 1 - truth, truth).astype(np.int8), table)
    first = listed[: int(flipped.sum())]
    hits = [
        flipped[each.image, result.label[each.finding] if each.finding >= 0 else result.wanted.label[each.wanted]]
        for each in first
    ]
    assert np.mean(hits) > 0.8 and {each.kind for each in first} == {"missing", "not there"}
    assert [each.score for each in listed] == sorted((each.score for each in listed), reverse=True)


def test_images_of_which_a_label_is_unknown_change_nothing() -> None:
    rng = np.random.default_rng(2)
    table = rng.uniform(0.02, 0.98, (400, 3))
    vectors = (rng.random(table.shape) < table).astype(np.int8)
    vectors[200:] = -1
    known, every = label_suspects(made(vectors[:200], table[:200])), label_suspects(made(vectors, table))
    assert every == known and len(known) > 20


def test_labels_that_the_answers_support_are_not_suspect() -> None:
    vectors = (np.arange(60)[:, None] % [2, 3, 4] == 0).astype(np.int8)
    assert label_suspects(made(vectors, np.where(vectors == 1, 0.9, 0.1))) == ()
    assert label_suspects(made(np.zeros((5, 3), np.int8), np.full((5, 3), 0.4))) == ()
