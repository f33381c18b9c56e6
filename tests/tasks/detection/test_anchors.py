"""Anchors: their shapes, their objects, and samples that a generator alone decides."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection._utils import Matcher

from raytl.tasks.detection.anchors import anchors, matched, sampled
from raytl.tasks.detection.matching import BACKGROUND, IGNORED
from tests.tasks.detection.objects import objects


def test_anchors_surround_the_centers_of_their_cells() -> None:
    found = anchors([(1, 2)], [8.0], [4.0], torch.device("cpu"))
    assert found.shape == (6, 4)
    assert ((found[:, :2] + found[:, 2:]) / 2).flatten().tolist() == pytest.approx([4, 4] * 3 + [12, 4] * 3)
    sides = found[:, 2:] - found[:, :2]
    assert sides.prod(dim=1).tolist() == pytest.approx([1024] * 6)
    assert (sides[:, 1] / sides[:, 0]).tolist() == pytest.approx([0.5, 1, 2] * 2)


def test_boxes_learn_what_they_overlap_and_groups_are_no_background() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 30], [10, 10, 30, 42], [60, 60, 80, 80], [90, 0, 100, 10]])
    truth = objects([[50, 50, 90, 90], [10, 10, 30, 30]], [0, 1], [True, False])
    assert matched(Matcher(0.7, 0.3), boxes, truth).tolist() == [1, IGNORED, IGNORED, BACKGROUND]
    assert matched(Matcher(0.7, 0.3), boxes, objects([], [])).tolist() == [BACKGROUND] * 4


def test_samples_are_those_of_the_generator() -> None:
    matches = torch.tensor([0, 1, -1, -1, -2, -1, 2])
    first = sampled(matches, 4, 0.5, torch.Generator().manual_seed(3))
    assert [len(part) for part in first] == [2, 2]
    assert set(first[0].tolist()) <= {0, 1, 6} and set(first[1].tolist()) <= {2, 3, 5}
    torch.manual_seed(99)
    again = sampled(matches, 4, 0.5, torch.Generator().manual_seed(3))
    assert [part.tolist() for part in again] == [part.tolist() for part in first]
