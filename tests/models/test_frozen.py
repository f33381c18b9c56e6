"""Cross-validation of frozen features: it finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raytl.models.frozen import Ridge, ViewEffect, cross_validated, folds_of, left_out_probabilities

TARGETS = np.repeat(np.arange(3), 20)


def blobs(distance: float, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    centers = torch.eye(3, 16) * distance
    return centers[torch.from_numpy(TARGETS)] + torch.randn(60, 16, generator=draw)


def test_separate_classes_are_told_apart_and_noise_is_not() -> None:
    assert cross_validated(blobs(8.0), TARGETS, {}).accuracy == 1.0
    noise = cross_validated(blobs(0.0), TARGETS, {})
    assert noise.accuracy < 0.55
    assert noise.chance == pytest.approx(1 / 3)
    assert noise.separation < 0.33


def test_a_view_that_moves_the_features_loses_images_and_one_that_does_not_loses_none() -> None:
    features = blobs(8.0)
    fit = cross_validated(features, TARGETS, {"same": features, "moved": features.roll(20, 0)})
    assert (fit.views["same"].lost, fit.views["same"].gained) == (0, 0)
    assert fit.views["moved"].lost == 60
    assert fit.views["moved"].p_value < 1e-9


def test_the_sign_test_is_exact() -> None:
    assert ViewEffect(0, 0).p_value == 1.0
    assert ViewEffect(1, 0).p_value == 0.5
    assert ViewEffect(8, 1).p_value == pytest.approx(10 / 512)


def test_classes_of_unequal_sizes_and_labels_with_gaps_count_alike() -> None:
    targets = np.array([7] * 40 + [2] * 20)
    fit = cross_validated(torch.cat([torch.randn(40, 4) + 6, torch.randn(20, 4) - 6]), targets, {})
    assert (fit.accuracy, fit.chance, fit.images) == (1.0, 0.5, 60)


def test_each_fold_holds_its_part_of_every_class() -> None:
    fold = folds_of(TARGETS)
    assert {tuple(np.bincount(fold[name == TARGETS], minlength=5)) for name in range(3)} == {(4, 4, 4, 4, 4)}
    assert set(folds_of(np.array([0, 0, 1, 1]))) == {0, 1, 2}


def test_it_is_deterministic() -> None:
    assert cross_validated(blobs(1.0), TARGETS, {}) == cross_validated(blobs(1.0), TARGETS, {})


def test_an_image_is_left_out_in_closed_form_as_by_solving_without_it() -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(30) % 3
    values = rng.normal(size=(30, 5)) + np.eye(3, 5)[classes]
    inputs = (values - values.mean(0)) / values.std(0)
    gram = inputs @ inputs.T
    wanted = 2 * np.eye(3)[classes] - 1
    expected = []
    for place in range(30):
        others = np.arange(30) != place
        system = gram[np.ix_(others, others)] + 1 + 0.1 * gram.diagonal().mean() * np.eye(29)
        expected.append((gram[place, others] + 1) @ np.linalg.solve(system, wanted[others]))
    left_out = Ridge(torch.from_numpy(values), classes, 3, 0.1).left_out()
    np.testing.assert_allclose(left_out, expected, rtol=1e-6)
    probabilities = left_out_probabilities(torch.from_numpy(values), classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (probabilities.argmax(axis=1) == classes).mean() > 0.5
