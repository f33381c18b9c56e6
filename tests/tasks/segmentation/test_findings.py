from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.findings import BACKGROUND, CORRECT, MISPLACED, WRONG_CLASS, Findings, image_sums
from raytl.tasks.segmentation.details import details
from raytl.tasks.segmentation.findings import findings
from raytl.tasks.segmentation.scores import evidence
from tests.tasks.segmentation.test_details import PREPROCESS, SIDE, Map, logits_of

CLASSES = ("background", "cell", "debris")


def made(truths: list[Map], predicted: list[Map], classes: tuple[str, ...] = CLASSES) -> Findings:
    parts = [
        details(logits_of(each, 0.9), [(SIDE, SIDE)], PREPROCESS, [truth])
        for each, truth in zip(predicted, truths, strict=True)
    ]
    more = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return findings(truths, (*evidence(predicted, truths), *more), classes)


def scenes() -> tuple[list[Map], list[Map]]:
    truths, predicted = ([np.zeros((SIDE, SIDE), np.uint8) for _ in range(2)] for _ in range(2))
    truths[0][0:8, 0:8], predicted[0][0:8, 0:8] = 1, 1
    truths[0][20:26, 0:8], predicted[0][20:26, 0:8] = 1, 2
    predicted[0][20:24, 20:26] = 1
    truths[1][4:10, 4:10], predicted[1][4:10, 5:10] = 2, 2
    truths[1][20:30, 20:30] = 1
    return truths, predicted


def test_regions_are_findings_with_what_is_true_of_them() -> None:
    result = made(*scenes())
    assert result.image.tolist() == [0, 0, 0, 1] and result.label.tolist() == [1, 2, 1, 2]
    assert result.error.tolist() == [CORRECT, WRONG_CLASS, BACKGROUND, CORRECT]
    assert result.truth.tolist() == [0, 1, -1, 3]
    assert result.confidence == pytest.approx(np.full(4, 0.9), abs=1e-4)
    wanted = result.wanted
    assert wanted.image.tolist() == [0, 0, 1, 1] and wanted.label.tolist() == [1, 1, 1, 2]
    assert wanted.confidence == pytest.approx([0.9, 0, 0, 0.9], abs=1e-4)
    assert result.missed.tolist() == [False, True, True, False] and result.reported.all()
    assert wanted.boxes[2].tolist() == [20, 20, 30, 30] and (wanted.size == 0).all()


def test_a_region_of_its_own_class_for_less_than_half_is_localized_badly() -> None:
    truth, predicted = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    predicted[0:8, 0:20], truth[0:8, 0:8], truth[0:8, 8:14] = 1, 1, 2
    assert made([truth], [predicted]).error.tolist() == [MISPLACED]


def test_without_a_background_all_regions_count() -> None:
    names = ("sky", "cell", "debris")
    result = made(*scenes(), classes=names)
    assert (result.label == 0).sum() == 2 and (result.wanted.label == 0).sum() == 2
    assert result.error[(result.label == 1) & (result.error != CORRECT)].tolist() == [WRONG_CLASS]
    assert result.truth[result.label == 0].tolist() == np.flatnonzero(result.wanted.label == 0).tolist()


def test_pixels_come_with_the_counts_of_the_evaluation() -> None:
    truths, predicted = scenes()
    pixels = made(truths, predicted).pixels
    assert pixels is not None
    assert pixels.counts[0].tolist() == [
        [np.count_nonzero((truths[0] == k) & (predicted[0] == k)) for k in range(3)],
        [np.count_nonzero(predicted[0] == k) for k in range(3)],
        [np.count_nonzero(truths[0] == k) for k in range(3)],
    ]
    assert pixels.bins.shape[0] == len(pixels.edges) == len(pixels.suspects) == 2


def test_rows_of_scores_alone_give_the_score_of_each_image() -> None:
    truths, predicted = scenes()
    alone = findings(truths, evidence(predicted, truths), CLASSES)
    assert len(alone) == len(alone.wanted) == 0 and alone.pixels is None
    np.testing.assert_array_equal(alone.score, made(truths, predicted).score)
    perfect = findings(truths, evidence(truths, truths), CLASSES)
    assert perfect.score.tolist() == [1, 1]


def test_bins_alone_give_the_sums_of_each_image() -> None:
    truths, predicted = scenes()
    bins = np.concatenate([
        details(logits_of(each, 0.9), [(SIDE, SIDE)], PREPROCESS, [truth], brief=True)[0]
        for each, truth in zip(predicted, truths, strict=True)
    ])  # fmt: skip
    brief = findings(truths, (*evidence(predicted, truths), bins), CLASSES)
    sums = image_sums(brief)
    np.testing.assert_allclose(sums, image_sums(made(truths, predicted)))
    assert sums[:, 1].tolist() == [SIDE**2] * 2 and sums[:, 2] == pytest.approx([0.9 * SIDE**2] * 2, rel=1e-5)
    assert sums[:, 3].tolist() == [np.count_nonzero(t == p) for t, p in zip(truths, predicted, strict=True)]
