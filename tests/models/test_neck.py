"""Necks: the same octaves from any levels."""

from __future__ import annotations

import pytest
import torch

from raytl.models.neck import Fpn, Octaves
from raytl.models.pyramid import Level


def maps(levels: list[Level]) -> list[torch.Tensor]:
    return [torch.randn(1, level.channels, 128 // level.stride, 192 // level.stride) for level in levels]


@pytest.mark.parametrize(
    ("levels", "channels"),
    [
        ([Level(8, 4), Level(16, 8), Level(24, 16), Level(32, 32)], [8, 16, 24, 32]),
        ([Level(64, 16)], [16, 32, 64, 64]),
        ([Level(16, 8), Level(24, 32)], [8, 16, 16, 24]),
    ],
)
def test_octaves_that_a_backbone_lacks_are_added(levels: list[Level], channels: list[int]) -> None:
    neck = Octaves(levels, finest=4)
    found = neck(maps(levels))
    assert [value.shape[1] for value in found] == neck.channels == channels
    assert neck.strides == (4, 8, 16, 32)
    assert [tuple(value.shape[2:]) for value in found] == [(32, 48), (16, 24), (8, 12), (4, 6)]


def test_patches_of_14_pixels_keep_their_strides() -> None:
    neck = Fpn([Level(32, 14)], 8, 32, "p6p7")
    assert neck.strides == (7, 14, 28, 56, 112)
    found = neck([torch.randn(1, 32, 6, 10)])
    assert [tuple(value.shape[2:]) for value in found] == [(12, 20), (6, 10), (3, 5), (2, 3), (1, 2)]


@pytest.mark.parametrize(
    ("top", "strides"), [("p6p7", (8, 16, 32, 64, 128)), ("pool", (8, 16, 32, 64)), (None, (8, 16, 32))]
)
def test_a_pyramid_network_has_maps_of_equal_channels_and_its_top(top: str, strides: tuple[int, ...]) -> None:
    levels = [Level(8, 8), Level(16, 16), Level(24, 32)]
    neck = Fpn(levels, 8, 32, top)  # type: ignore[arg-type]
    found = neck(maps(levels))
    assert neck.strides == strides
    assert [value.shape[1] for value in found] == [32] * len(strides)
