"""The bit depth of a data set: asked for, declared, or the fewest bits that hold its training images."""

from __future__ import annotations

import pytest

from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth, Levels, mismatches, set_depth


@pytest.mark.parametrize(
    ("top", "bits"),
    [(1, 8), (255, 8), (256, 9), (1000, 10), (1023, 10), (1024, 11), (3000, 12), (4095, 12), (4096, 13), (65535, 16)],
)
def test_the_depth_is_the_fewest_bits_that_hold_the_largest_training_value(top: int, bits: int) -> None:
    found = set_depth("auto", [Levels(5), Levels(top), Levels()], [Levels(60000)])
    assert found.depth == BitDepth(bits)
    assert found.reason == f"largest value {max(top, 5)} in 2 16-bit training images"


def test_images_of_8_bits_need_no_depth() -> None:
    found = set_depth("auto", [Levels()], [Levels()])
    assert (found.depth, found.reason, found.warnings) == (SIXTEEN_BITS, "", ())


def test_the_depth_asked_for_counts_for_every_file_and_a_declared_one_before_the_sets() -> None:
    assert BitDepth(12, fixed=True).of(Levels(9, declared=10)) == 12
    assert BitDepth(12).of(Levels(9, declared=10)) == 10
    assert BitDepth(12).of(Levels(9)) == 12


def test_a_declared_depth_says_nothing_of_the_files_that_declare_none() -> None:
    assert set_depth("auto", [Levels(9, declared=14), Levels(900)], []).depth.bits == 10
    found = set_depth("auto", [Levels(9, declared=14), Levels(9, declared=12)], [])
    assert (found.depth.bits, found.reason) == (14, "declared by 2 training images")


def test_held_out_values_above_the_depth_are_counted() -> None:
    (warning,) = set_depth("auto", [Levels(4000)], [Levels(5000), Levels(100)]).warnings
    assert warning.startswith(
        "1 images have values above 4095 (bit depth 12), up to 5000, which are clipped. Set data."
    )
    (warning,) = set_depth(10, [Levels(4000)], []).warnings
    assert warning.startswith("1 images have values above 1023 (bit depth 10), up to 4000")


def test_a_depth_that_no_training_image_tells_is_a_warning() -> None:
    found = set_depth("auto", [Levels()], [Levels(3000)])
    assert found.depth == SIXTEEN_BITS
    assert "1 images in val and test have 16 bits, but no training image does" in found.warnings[0]


@pytest.mark.parametrize(
    ("bits", "levels", "said"),
    [
        (12, {"a": Levels(4095), "b": Levels()}, []),
        (12, {"a": Levels(4096), "b": Levels(9)}, ["1 photos have values above the range and are clipped; the model's bit depth is 12"]),
        (16, {"a": Levels(4095), "b": Levels(9)}, ["2 16-bit photos have values up to 4095 only"]),
        (16, {"a": Levels(4095), "b": Levels(60000)}, []),
        (16, {"a": Levels(4095, declared=12)}, []),
        (16, {}, []),
    ],
)  # fmt: skip
def test_photos_of_another_depth_than_the_models_are_told(
    bits: int, levels: dict[str, Levels], said: list[str]
) -> None:
    found = mismatches(BitDepth(bits), levels)
    assert [line[: len(start)] for line, start in zip(found, said, strict=True)] == said


def test_a_depth_that_has_no_effect_is_a_warning() -> None:
    assert "has no effect" in set_depth(12, [Levels()], []).warnings[0]
