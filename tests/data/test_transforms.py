"""Preprocessing is the pretrained model's own, to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.transforms import MAX_ASPECT, Preprocess, center_crop, eval_view, prepare, prepared_placement
from raytl.errors import RaytlError
from raytl.stored import Format

BASE = Preprocess(24, 27, "center", "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KEYS = ("33e1f3b760c22a39", "f62f824302a773d6")
"""Of `BASE`, resized by the shorter side and by both, as raytl 0.1.0 computed them."""
SIZES = [(40, 40), (41, 30), (30, 53), (27, 27), (20, 90), (64, 27), (13, 11), (33, 200)]


def photo(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest", "lanczos"])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_the_evaluation_view_equals_timms_to_the_bit(size: tuple[int, int], interpolation: str, crop_mode: str) -> None:
    preprocess = replace(BASE, interpolation=interpolation, crop_mode=crop_mode)  # type: ignore[arg-type]
    timms = transforms_imagenet_eval(
        24, crop_pct=24 / 27, crop_mode=crop_mode, interpolation=interpolation, use_prefetcher=True
    )
    ours = eval_view(prepare(photo(*size), preprocess), preprocess)
    np.testing.assert_array_equal(ours.numpy(), timms(photo(*size)))


@pytest.mark.parametrize("size", SIZES)
def test_the_evaluation_view_equals_torchvisions_preset(size: tuple[int, int]) -> None:
    preset = ImageClassification(
        crop_size=24, resize_size=27, mean=(0, 0, 0), std=(1, 1, 1), interpolation=InterpolationMode.BILINEAR
    )
    preprocess = replace(BASE, interpolation="bilinear")
    ours = eval_view(prepare(photo(*size), preprocess), preprocess)
    assert torch.equal(ours, (preset(photo(*size)) * 255).round().to(torch.uint8))


@pytest.mark.parametrize(("height", "width"), [(10, 30), (30, 10), (11, 9)])
def test_a_crop_larger_than_the_image_is_padded_as_timm_does(height: int, width: int) -> None:
    from torchvision.transforms.v2.functional import center_crop as torchvisions

    pixels = np.array(photo(width, height))
    expected = torchvisions(torch.from_numpy(pixels).permute(2, 0, 1), [24, 24])
    np.testing.assert_array_equal(center_crop(pixels, 24), expected.permute(1, 2, 0).numpy())


def test_a_very_long_photo_loses_its_ends_before_it_grows() -> None:
    prepared = prepare(photo(2, 4000), BASE)
    assert prepared.shape == (27 * MAX_ASPECT, 27, 3)


def test_a_view_is_a_copy_so_that_a_mapped_image_is_never_written_to() -> None:
    prepared = np.zeros((24, 24, 3), dtype=np.uint8)
    prepared.flags.writeable = False
    eval_view(prepared, BASE)[:] = 9
    assert prepared.max() == 0


def read_back(saved: dict[str, Any]) -> Preprocess:
    return Format[Preprocess](Preprocess, "", "").read(json.dumps(saved).encode(), "")


def test_json_gives_the_same_value_back() -> None:
    assert read_back(BASE.to_json()) == BASE


def test_a_preprocessing_saved_without_a_bit_depth_means_16() -> None:
    saved = BASE.to_json()
    del saved["bit_depth"]
    assert read_back(saved).bit_depth == SIXTEEN_BITS


def test_the_bit_depth_decides_the_prepared_pixels() -> None:
    depths = (SIXTEEN_BITS, BitDepth(12), BitDepth(12, fixed=True))
    assert len({BASE.at(depth).key for depth in depths}) == 3
    assert read_back(BASE.at(depths[2]).to_json()) == BASE.at(depths[2])


def test_the_key_names_what_decides_the_prepared_pixels_and_nothing_else() -> None:
    same = [replace(BASE, image_px=20), replace(BASE, mean=(0, 0, 0)), replace(BASE, std=(1, 1, 1))]
    other = [replace(BASE, resize_px=28), replace(BASE, crop_mode="squash"), replace(BASE, interpolation="bilinear")]
    assert {p.key for p in same} == {BASE.key}
    assert len({p.key for p in other} | {BASE.key}) == 4


@pytest.mark.parametrize("size", [*SIZES, (300, 2), (2, 300)])
@pytest.mark.parametrize("preprocess", [BASE, replace(BASE, crop_mode="squash"), BASE.fit((40, 24))])
def test_the_size_of_a_prepared_image_is_known_from_the_size_of_the_photo(
    preprocess: Preprocess, size: tuple[int, int]
) -> None:
    assert prepared_placement(*size, preprocess).size == prepare(photo(*size), preprocess).shape[:2]


@pytest.mark.parametrize(("size", "fitted"), [((80, 40), (20, 40)), ((30, 60), (24, 12)), ((10, 6), (24, 40))])
def test_an_image_is_fitted_whole_into_the_frame_and_padded_with_the_mean_color(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    preprocess = BASE.fit((40, 24))
    prepared = prepare(photo(*size), preprocess)
    assert prepared.shape[:2] == fitted
    view = eval_view(prepared, preprocess)
    assert view.shape == (3, *preprocess.view_size) == (3, 24, 40)
    assert view[None].is_contiguous(memory_format=torch.channels_last)
    pixels = view.permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pixels[: fitted[0], : fitted[1]], prepared)
    assert (pixels[fitted[0] :] == [124, 116, 104]).all()
    assert (pixels[:, fitted[1] :] == [124, 116, 104]).all()


def test_a_frame_is_saved_only_by_the_crop_mode_that_has_one() -> None:
    fitted = BASE.fit((40, 24))
    assert (fitted.crop_mode, fitted.image_px, fitted.resize_px) == ("fit", 40, 40)
    assert read_back(fitted.to_json()) == fitted
    assert "frame" not in BASE.to_json()
    assert len({fitted.key, BASE.fit((40, 40)).key, BASE.fit((24, 40)).key, BASE.key}) == 4


def test_the_keys_of_the_prepared_images_of_earlier_versions_stay_valid() -> None:
    assert (BASE.key, replace(BASE, crop_mode="squash").key) == KEYS


@pytest.mark.parametrize("change", [{"frame": [40, 24]}, {"crop_mode": "fit"}])
def test_a_frame_without_its_crop_mode_or_the_other_way_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(RaytlError, match=r"frame: found .*; expected \[width, height\] for the crop mode fit"):
        read_back(BASE.to_json() | change)
