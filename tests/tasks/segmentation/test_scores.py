"""Class maps become rows that any split over workers merges alike."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from raytl.metrics.segmentation import pixel_confusion
from raytl.tasks.segmentation.scores import METRICS, evidence, facts, validation
from tests.metrics.test_segmentation import CLASSES, maps, stats

NAMES = tuple("abcd")


def test_the_validation_has_the_scores_of_the_maps_and_their_confusion() -> None:
    truths, predicted = maps(5, 0)
    result = validation(truths, evidence(predicted, truths), NAMES)
    expected = stats(truths, predicted)
    assert result.metrics == {f"val/{name}": expected[name] for name in METRICS}
    assert result.confusion.names == NAMES
    pixels = sum(pixel_confusion(t, p, CLASSES) for t, p in zip(truths, predicted, strict=True))
    np.testing.assert_array_equal(result.confusion.counts, pixels)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_any_batches_give_the_same_scores_as_all(size: int) -> None:
    truths, predicted = maps(6, 1)
    predicted[0][:] = 0
    parts = [evidence(predicted[n : n + size], truths[n : n + size]) for n in range(0, 6, size)]
    merged = tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
    assert validation(truths, merged, NAMES).metrics == validation(truths, evidence(predicted, truths), NAMES).metrics


def test_an_image_of_void_counts_nothing() -> None:
    void = np.full((5, 5), 255, dtype=np.uint8)
    counts = facts(evidence([np.zeros((5, 5), np.uint8)], [void]), NAMES)
    assert counts.support.sum() == counts.calls.sum() == counts.edges.sum() == 0


def test_the_facts_of_many_classes_are_those_of_the_confusions_without_a_table_of_all_of_them() -> None:
    rng = np.random.default_rng(2)
    truths, predicted = (list(rng.choice([0, 7, 149], (60, 8, 8)).astype(np.uint8)) for _ in range(2))
    rows, names = evidence(predicted, truths), tuple(map(str, range(150)))
    tracemalloc.start()
    counts = facts(rows, names)
    assert tracemalloc.get_traced_memory()[1] < 60 * 150**2, "a byte for each image and pair of classes"
    tracemalloc.stop()
    confusions = np.stack([pixel_confusion(t, p, 150) for t, p in zip(truths, predicted, strict=True)])
    np.testing.assert_array_equal(counts.hits, np.diagonal(confusions, axis1=1, axis2=2))
    np.testing.assert_array_equal(counts.calls, confusions.sum(axis=1))
    np.testing.assert_array_equal(counts.support, confusions.sum(axis=2))


def test_a_map_of_another_size_is_a_mistake_of_the_task() -> None:
    with pytest.raises(AssertionError, match=r"a map of \(4, 5\) for an image of \(5, 5\)"):
        evidence([np.zeros((4, 5), np.uint8)], [np.zeros((5, 5), np.uint8)])
