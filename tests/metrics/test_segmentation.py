"""Scores of class maps equal those of torchmetrics, over any draw of images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score, multiclass_jaccard_index

from raytl.metrics import segmentation
from raytl.metrics.draws import values
from raytl.metrics.intervals import estimates
from raytl.metrics.paired import paired_by_images
from raytl.metrics.segmentation import Facts, boundary_counts, joined_facts, measure, pixel_confusion
from tests.metrics.same import assert_same

CLASSES = 4
Map = NDArray[np.uint8]


def maps(count: int, seed: int, *, wrong: float = 0.2, classes: int = CLASSES) -> tuple[list[Map], list[Map]]:
    """Truths of random rectangles with some void, and predictions with some wrong pixels."""
    rng = np.random.default_rng(seed)
    truths, predicted = [], []
    for _ in range(count):
        truth = np.zeros((20, 24), dtype=np.uint8)
        for _ in range(5):
            y, x = rng.integers(0, 20), rng.integers(0, 24)
            truth[y : y + 9, x : x + 8] = rng.choice([*range(classes), 255])
        noise = rng.integers(0, classes, truth.shape).astype(np.uint8)
        truths.append(truth)
        predicted.append(np.where((rng.random(truth.shape) < wrong) | (truth == 255), noise, truth))
    return truths, predicted


def facts_of(truths: list[Map], predicted: list[Map], classes: int = CLASSES) -> Facts:
    pairs = list(zip(truths, predicted, strict=True))
    confusions, boundaries = (
        np.stack([count(*each, classes) for each in pairs]) for count in (pixel_confusion, boundary_counts)
    )
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    return Facts(hits, confusions.sum(axis=1), confusions.sum(axis=2), *np.moveaxis(boundaries, 1, 0))


def stats(truths: list[Map], predicted: list[Map], classes: int = CLASSES) -> dict[str, NDArray[np.float64]]:
    return values(partial(measure, facts_of(truths, predicted, classes)), len(truths))


@pytest.mark.parametrize("seed", range(5))
def test_the_scores_equal_those_of_torchmetrics(seed: int) -> None:
    truths, predicted = maps(4, seed)
    mine = stats(truths, predicted)
    pair = torch.tensor(np.stack(predicted)).long(), torch.tensor(np.stack(truths)).long()
    options = {"num_classes": CLASSES, "ignore_index": 255}
    assert mine["miou"] == pytest.approx(float(multiclass_jaccard_index(*pair, average="macro", **options)), abs=1e-6)
    assert mine["iou"] == pytest.approx(multiclass_jaccard_index(*pair, average="none", **options).numpy(), abs=1e-6)
    dice = multiclass_f1_score(*pair, average="none", **options).numpy()
    assert mine["dice_by_class"] == pytest.approx(dice, abs=1e-6) and mine["dice"] == pytest.approx(
        dice.mean(), abs=1e-6
    )
    assert mine["pixel_accuracy"] == pytest.approx(
        float(multiclass_accuracy(*pair, average="micro", **options)), abs=1e-6
    )


def test_a_class_that_is_absent_everywhere_is_left_out_and_a_predicted_one_scores_zero() -> None:
    truth = np.zeros((6, 6), dtype=np.uint8)
    predicted = truth.copy()
    predicted[:3] = 1
    mine = stats([truth], [predicted], 3)
    assert mine["iou"].tolist() == pytest.approx([0.5, 0, np.nan], nan_ok=True)
    assert mine["miou"] == 0.25
    assert mine["boundary_f_by_class"][:2].tolist() == [0, 0] and np.isnan(mine["boundary_f_by_class"][2])


def test_an_image_of_void_has_no_score() -> None:
    void = np.full((6, 6), 255, dtype=np.uint8)
    mine = stats([void], [np.zeros((6, 6), dtype=np.uint8)], 2)
    assert all(np.isnan(score).all() for score in mine.values())


def test_boundaries_within_the_tolerance_agree_and_beyond_it_do_not() -> None:
    truth = np.zeros((300, 400), dtype=np.uint8)  # the tolerance is 0.0075 * 500 = 3.75 pixels
    truth[:, 200:] = 1
    for shift, agree in ((0, True), (3, True), (5, False)):
        predicted = np.zeros_like(truth)
        predicted[:, 200 + shift :] = 1
        drawn, drawn_near, edges, edges_near = boundary_counts(truth, predicted, 2)
        assert drawn.tolist() == edges.tolist() == [300, 300]
        assert drawn_near.tolist() == edges_near.tolist() == ([300, 300] if agree else [0, 0])


@pytest.mark.parametrize("seed", range(3))
def test_boundary_counts_equal_those_from_a_distance_transform(seed: int) -> None:
    (truth,), (predicted,) = maps(1, seed, wrong=0.02)
    masked = np.where(truth == 255, 255, predicted)
    counts = boundary_counts(truth, predicted, CLASSES)
    for label in range(CLASSES):
        ours, theirs = _edges(masked) & (masked == label), _edges(truth) & (truth == label)
        near = [
            int((distance_transform_edt(~other) <= 1.0)[own].sum()) if other.any() else 0
            for own, other in ((ours, theirs), (theirs, ours))
        ]
        assert counts[:, label].tolist() == [ours.sum(), near[0], theirs.sum(), near[1]]


def _edges(labels: Map) -> NDArray[np.bool_]:
    padded = np.pad(labels, 1, constant_values=255)
    center = padded[1:-1, 1:-1]
    neighbors = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.any([(other != center) & (other != 255) for other in neighbors], axis=0) & (center != 255)


def test_a_draw_scores_as_the_images_that_it_repeats() -> None:
    truths, predicted = maps(6, 1)
    draw = np.array([0, 3, 3, 5, 5, 5])
    drawn = {name: score[0] for name, score in measure(facts_of(truths, predicted), draw[None]).items()}
    assert_same(drawn, stats([truths[n] for n in draw], [predicted[n] for n in draw]))


def test_scores_do_not_depend_on_the_blocks_in_which_draws_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    facts, draws = facts_of(*maps(6, 1)), np.random.default_rng(0).integers(0, 6, (20, 6))
    whole = measure(facts, draws)
    monkeypatch.setattr(segmentation, "_CELLS", 6 * 7)  # seven draws at once
    assert_same(measure(facts, draws), whole)


def test_intervals_contain_the_value_and_a_better_model_gains() -> None:
    truths, worse = maps(30, 2, wrong=0.3)
    better = [
        np.where(np.random.default_rng(0).random(t.shape) < 0.3, t, w) for t, w in zip(truths, worse, strict=True)
    ]
    better = [np.where(each == 255, 0, each) for each in better]
    before, after = facts_of(truths, worse), facts_of(truths, better)
    miou = estimates(partial(measure, before), 30, resamples=200)["miou"][0]
    assert miou.low < miou.value < miou.high
    gain = paired_by_images(partial(measure, joined_facts(before, after)), 30, "miou", resamples=200)
    assert 0 < gain.low < gain.gain < gain.high and gain.p_better < 0.01
