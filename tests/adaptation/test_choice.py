"""A method is chosen only if its labels lead back to the source better than those of none, beyond noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raytl.adaptation.choice import (
    LEAST_AGREEMENT,
    Candidate,
    Labelled,
    MethodChoice,
    agreement,
    chosen_method,
    confirmed,
)

CLASSES, WIDTH = 4, 12


def clusters(seed: int, count: int = 120, spread: float = 1.0, shift: float = 0.0) -> Labelled:
    """Images around one center a class; `shift` turns the centers towards those of the next class."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % CLASSES
    centers = 3 * np.eye(CLASSES, WIDTH)
    moved = (1 - shift) * centers + shift * np.roll(centers, 1, axis=0)
    return Labelled(moved[truth] + rng.normal(scale=spread, size=(count, WIDTH)), truth)


def noisy(labels: Labelled, fraction: float, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels.classes)) < fraction
    return np.where(wrong, rng.integers(0, CLASSES, len(labels.classes)), labels.classes)


def choice_of(better: Labelled, worse: Labelled, source: Labelled, agreed: float = 1.0) -> MethodChoice:
    candidates = {
        "none": Candidate(source.features, worse.features, worse.classes),
        "centroids": Candidate(source.features, better.features, better.classes, agreed),
    }
    return chosen_method(candidates, source.classes, CLASSES)


def test_right_labels_win_over_wrong_ones() -> None:
    source, target = clusters(0), clusters(1)
    result = choice_of(target, replace(target, classes=noisy(target, 0.9, 2)), source)
    assert result.method == "centroids"
    assert result.scores["centroids"] > result.scores["none"] + 0.2
    assert result.reason.startswith("centroids: ") and "points more than none" in result.reason


def test_equal_labels_are_none_in_each_of_10_draws() -> None:
    for seed in range(10):
        source, target = clusters(seed), clusters(seed + 100)
        drawn = [replace(target, classes=noisy(target, 0.3, seed + offset)) for offset in (200, 300)]
        result = choice_of(drawn[0], drawn[1], source)
        assert result.method == "none", result.reason


def test_images_of_something_else_are_none() -> None:
    rng = np.random.default_rng(0)
    other = Labelled(rng.normal(size=(120, WIDTH)), rng.integers(0, CLASSES, 120))
    result = choice_of(other, replace(other, classes=rng.integers(0, CLASSES, 120)), clusters(1))
    assert result.method == "none" and "no other method is better beyond chance" in result.reason


def test_a_target_that_shows_something_else_is_not_considered() -> None:
    rng = np.random.default_rng(0)
    source, target = clusters(0), clusters(1)
    near = agreement(source.features, source.classes, target.features, CLASSES)
    far = agreement(source.features, source.classes, rng.normal(size=(120, WIDTH)), CLASSES)
    assert near == pytest.approx(1.0, abs=0.1) and far < LEAST_AGREEMENT
    result = choice_of(target, replace(target, classes=noisy(target, 0.9, 2)), source, far)
    assert result.method == "none" and "which may show something else" in result.reason


def test_a_class_that_no_target_image_has_is_no_error() -> None:
    source, target = clusters(0), clusters(1)
    some = Labelled(target.features, np.minimum(target.classes, 1))
    assert choice_of(some, some, source).method == "none"


@pytest.mark.parametrize(("shift", "method"), [(0.0, "centroids"), (1.0, "none")])
def test_a_method_that_loses_on_validation_is_dropped(shift: float, method: str) -> None:
    source, target = clusters(0), clusters(1)
    chosen = choice_of(target, replace(target, classes=noisy(target, 0.9, 2)), source)
    added = clusters(3, count=600, spread=0.2, shift=shift)
    result = confirmed(chosen, source, added, clusters(5), CLASSES)
    assert result.method == method and result.val is not None
    assert "on validation" in result.reason
