"""Cross-validation of frozen features: it finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raytl.models.frozen import Ridge, ViewEffect, cross_validated, folds_of, left_out_probabilities, probe_folds

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


def test_a_group_is_in_one_fold_and_each_fold_has_its_part_of_the_classes() -> None:
    classes = np.repeat([0, 1], 60)
    groups = np.tile(np.repeat(np.arange(10), 6), 2)
    fold = folds_of(classes, 5, groups)
    assert all(len(set(fold[groups == group])) == 1 for group in range(10))
    assert [np.bincount(classes[fold == number]).tolist() for number in range(5)] == [[12, 12]] * 5


def test_groups_of_one_image_change_no_fold() -> None:
    classes = np.arange(30) % 3
    assert np.array_equal(folds_of(classes, 5, np.arange(30)[::-1]), folds_of(classes))


def test_a_pair_changes_no_fold_of_other_classes() -> None:
    classes, groups = np.arange(60) % 4, np.arange(60)
    groups[40] = groups[0]
    fold = folds_of(classes, 5, groups)
    assert fold[0] == fold[40] and np.ptp(np.bincount(fold[classes == 0])) <= 1
    assert np.array_equal(fold[classes > 0], folds_of(classes)[classes > 0])


def test_two_groups_are_in_two_folds_whatever_their_first_images() -> None:
    assert len(set(folds_of(np.zeros(40, np.int64), 5, np.arange(40) // 20))) == 2


def test_a_class_of_one_group_is_dealt_out_one_by_one() -> None:
    classes, groups = np.repeat([0, 1], 20), np.array([0, 1] * 10 + [2] * 20)
    fold = probe_folds(classes, groups)
    assert set(fold[classes == 1]) == set(range(5))
    assert all(len(set(fold[groups == group])) == 1 for group in (0, 1))


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
    left_out = Ridge(torch.from_numpy(values), classes, 3, 0.1).left_out(np.arange(30))
    np.testing.assert_allclose(left_out, expected, rtol=1e-6)
    probabilities = left_out_probabilities(torch.from_numpy(values), classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (probabilities.argmax(axis=1) == classes).mean() > 0.5


def test_a_group_is_left_out_as_a_whole_in_closed_form() -> None:
    rng = np.random.default_rng(0)
    classes, groups = np.arange(30) % 3, np.arange(30) // 4
    values = rng.normal(size=(30, 5)) + np.eye(3, 5)[classes]
    inputs = (values - values.mean(0)) / values.std(0)
    gram = inputs @ inputs.T
    wanted = 2 * np.eye(3)[classes] - 1
    left_out = Ridge(torch.from_numpy(values), classes, 3, 0.1).left_out(groups)
    for group in range(8):
        own, others = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        system = gram[np.ix_(others, others)] + 1 + 0.1 * gram.diagonal().mean() * np.eye(len(others))
        expected = (gram[np.ix_(own, others)] + 1) @ np.linalg.solve(system, wanted[others])
        np.testing.assert_allclose(left_out[own], expected, rtol=1e-6)


def test_a_copy_does_not_speak_for_its_own_wrong_label() -> None:
    features = torch.from_numpy(np.repeat(np.eye(2), 10, axis=0) + 0.1 * np.random.default_rng(0).normal(size=(20, 2)))
    features[1] = features[0]
    classes = np.repeat([0, 1], 10)
    classes[:2] = 1  # a photo of the first class and its copy, both labeled wrongly
    alone = left_out_probabilities(features, classes)
    together = left_out_probabilities(features, classes, np.array([0, 0, *range(2, 20)]))
    assert (together[:2, 1] < alone[:2, 1]).all()


def test_a_network_with_the_same_features_for_all_images_tells_no_class_from_another() -> None:
    classes = np.arange(12) % 3
    for features in (torch.zeros(12, 4), torch.full((12, 4), 0.3)):
        for groups in (None, np.arange(12) // 4):
            table = left_out_probabilities(features, classes, groups)
            np.testing.assert_allclose(table, 1 / 3, atol=0.2)
        assert cross_validated(features, classes, {}).accuracy <= 0.5
