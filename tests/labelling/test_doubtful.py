"""Doubtful labels: the planted errors come first, groups stay together, and a poor classifier judges nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.data.manifest import Sample
from raytl.errors import DataError
from raytl.labelling.change import UNCHANGED
from raytl.labelling.doubtful import MIN_IMAGES, doubts, spared
from raytl.labelling.sheet import HEAD, check_replaceable, table
from raytl.labelling.suspect import SuspectLabel
from raytl.models.left_out import left_out_in_parts

CLASSES = ("a", "b", "c")
COUNT = 150


def drawn(seed: int, signal: float = 3.0, wrong: float = 0.1) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Features of three classes, their given labels, and which of these are wrong."""
    rng = np.random.default_rng(seed)
    truth = np.arange(COUNT) % 3
    features = rng.normal(size=(COUNT, 8)) + signal * np.eye(3, 8)[truth]
    is_wrong = rng.random(COUNT) < wrong
    return torch.from_numpy(features.astype(np.float32)), np.where(is_wrong, (truth + 1) % 3, truth), is_wrong


def samples(targets: np.ndarray) -> list[Sample]:
    return [Sample(f"{place}.jpg", f"/p/{place}.jpg", CLASSES[target], "train") for place, target in enumerate(targets)]


def test_planted_errors_come_first_with_their_true_class() -> None:
    features, given, wrong = drawn(0)
    found = doubts([features], samples(given), given, CLASSES, np.arange(COUNT), 0)
    assert found.trusted
    first = [int(each.key.removesuffix(".jpg")) for each in found.listed[: int(wrong.sum())]]
    assert np.mean(wrong[first]) >= 0.8
    assert all(each.given == CLASSES[given[int(each.key.removesuffix(".jpg"))]] for each in found.listed)
    assert "not an estimate of how many are wrong" in found.sentence


def test_a_classifier_that_cannot_tell_the_classes_lists_nothing() -> None:
    features, given, _ = drawn(0, signal=0.2)
    found = doubts([features], samples(given), given, CLASSES, np.arange(COUNT), 0)
    assert not found.trusted
    assert found.listed == ()
    assert "cannot tell which labels are doubtful" in found.sentence


def test_a_network_that_cannot_tell_the_classes_is_passed_over_beside_one_that_can() -> None:
    features, given, _ = drawn(0)
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(COUNT, 8)).astype(np.float32))
    alone = doubts([features], samples(given), given, CLASSES, np.arange(COUNT), 0)
    both = doubts([noise, features], samples(given), given, CLASSES, np.arange(COUNT), 0)
    assert (replace(both, passed_over=()), both.passed_over, alone.passed_over) == (alone, (0,), ())


def test_an_image_is_not_judged_by_its_copies() -> None:
    features, given, _ = drawn(2, wrong=0.0)
    features[1] = features[0]
    given[1] = given[0] = 2  # both copies are wrong, and would confirm each other
    groups = np.arange(COUNT)
    groups[1] = groups[0]
    keys = {each.key for each in doubts([features], samples(given), given, CLASSES, groups, 0).listed}
    assert {"0.jpg", "1.jpg"} <= keys


def test_classes_with_few_images_are_not_judged() -> None:
    features, given, _ = drawn(0)
    keep = np.flatnonzero((given != 2) | (np.cumsum(given == 2) < MIN_IMAGES))
    found = doubts([features[keep]], samples(given[keep]), given[keep], CLASSES, np.arange(len(keep)), 0)
    assert found.unjudged == ("c",)
    assert "c" not in {each.given for each in found.listed}


def test_leaving_out_spares_the_last_images_of_a_class() -> None:
    targets = np.array([0] * 7 + [1] * 20)
    listed = [SuspectLabel(f"{place}.jpg", "a", "b", 0.01 * place, 0.5) for place in range(7)]
    assert spared(listed, targets, ("a", "b")) == tuple(listed[: 7 - MIN_IMAGES])


def test_more_images_than_one_classifier_takes_are_judged_in_parts() -> None:
    features, given, _ = drawn(0)
    table_ = left_out_in_parts(features, given, 3, lambda places: places, 0)
    assert table_.shape == (COUNT, 3)
    np.testing.assert_allclose(table_.sum(1), 1)


def test_the_table_has_empty_columns_to_fill_in_and_filled_ones_are_kept(tmp_path: Path) -> None:
    listed = [SuspectLabel("=1.jpg", "a", "b", 0.01234, 0.9, "val")]
    file = tmp_path / "doubtful-labels.csv"
    file.write_text(table(listed))
    assert file.read_text().splitlines() == [",".join(HEAD), '"\'=1.jpg",val,a,b,0.0123,0.9000,,,']
    check_replaceable(file)
    file.write_text(file.read_text().replace("0.9000,,,", "0.9000,b,me,seen"))
    with pytest.raises(DataError, match="has 1 label that would be lost"):
        check_replaceable(file)


def test_nothing_doubtful_is_in_no_change() -> None:
    assert UNCHANGED.doubtful == ()
