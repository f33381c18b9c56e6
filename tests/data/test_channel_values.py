"""Values of channels become bytes by ranges, are measured on training images, and are shown to people as RGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytl.config.schema import AugmentConfig, DataConfig
from raytl.data.audit import audit
from raytl.data.augment import TrainAugment
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth, Levels, mismatches, set_depth
from raytl.data.channel_statistics import channel_depth, depth_of
from raytl.data.channel_values import ChannelValues, scaled, visible_image
from raytl.data.decode import BadImage, decode, load, loaded
from raytl.data.draw import Box, Color, Draw, sample_rng
from raytl.data.formats import scan
from raytl.data.images import FileImages, prepared
from raytl.data.manifest import Sample
from raytl.data.perceptual_hash import phashes
from raytl.data.transforms import Preprocess, prepare
from raytl.data.view_pixels import recolored
from raytl.errors import DataError
from tests.data.scenes import smooth
from tests.data.tiffs import tiff_file

BOUND = 10**6
RNG = np.random.default_rng(0)


def preprocess(channels: int, **changes: Any) -> Preprocess:
    depth = BitDepth(ranges=((0.0, 255.0),) * channels) if channels != 3 else SIXTEEN_BITS
    return Preprocess(16, 20, "center", "bicubic", (0.5,) * channels, (0.25,) * channels, depth)


def png(pixels: NDArray[np.uint8], mode: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels, mode).save(stream, "PNG")
    return stream.getvalue()


def test_each_range_becomes_black_to_white() -> None:
    values = np.array([[[0, -1.0], [5, 0.0], [10, 1.0], [99, 9.0]]])
    assert scaled(values, [(0, 10), (-1, 1)]).tolist() == [[[0, 0], [128, 128], [255, 255], [255, 255]]]


def test_bytes_of_the_whole_range_are_not_copied() -> None:
    values = RNG.integers(0, 256, (4, 5, 13), dtype=np.uint8)
    assert scaled(values, [(0.0, 255.0)] * 13) is values
    assert np.array_equal(scaled(values, [(0.0, 254.9999)] * 13), values)


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2)])
def test_alpha_is_a_channel_of_a_model_with_as_many(mode: str, channels: int) -> None:
    pixels = RNG.integers(0, 256, (9, 8, channels), dtype=np.uint8)
    with loaded(png(pixels, mode), BOUND, channels=channels) as picture:
        assert picture.channels is not None
        assert np.array_equal(picture.channels.values, pixels)
        assert picture.size == (8, 9)


def test_alpha_is_composited_on_white_for_rgb() -> None:
    pixels = np.dstack([np.full((2, 2, 3), 40, np.uint8), np.array([[0, 255], [128, 255]], np.uint8)])
    assert np.asarray(decode(png(pixels, "RGBA"), BOUND))[..., 0].tolist() == [[255, 40], [147, 40]]


def test_a_photo_of_rgb_is_refused_by_a_model_of_four_channels() -> None:
    data = png(np.zeros((4, 4, 3), np.uint8), "RGB")
    with pytest.raises(BadImage, match=r"an image of 3 channels; expected 4"), loaded(data, BOUND, channels=4):
        pass


def test_the_first_three_of_four_channels_are_prepared_as_rgb_is() -> None:
    pixels = RNG.integers(0, 256, (40, 50, 4), dtype=np.uint8)
    with loaded(png(pixels, "RGBA"), BOUND, channels=4) as picture:
        found = prepared(picture, preprocess(4))
    assert np.array_equal(found[..., :3], prepare(Image.fromarray(pixels[..., :3].copy()), preprocess(3)))


@pytest.mark.parametrize(("order", "name"), [((0, 1, 2), "last"), ((2, 0, 1), "first")])
def test_arrays_have_their_channels_first_or_last(order: tuple[int, ...], name: str) -> None:
    values = RNG.random((20, 24, 5)).astype(np.float32)
    stream = io.BytesIO()
    np.save(stream, values.transpose(order))
    with loaded(stream.getvalue(), BOUND, channels=5) as picture:
        assert picture.channels is not None
        assert np.array_equal(picture.channels.values, values), name


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((4, 4), np.uint8), r"an array \(4, 4\) of uint8; expected \(height, width, 5\)"),
        (np.zeros((4, 4, 7), np.uint8), r"an image of 7 channels; expected 5"),
        (np.zeros((900, 900, 5), np.uint8), r"900 x 900 pixels of 5 channels, more than data.max_pixels 1000"),
        (np.array([[[{}] * 5]]), r"an array \(1, 1, 5\) of object; expected"),
    ],
)
def test_other_arrays_are_named(array: NDArray[Any], text: str) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    with pytest.raises(BadImage, match=text), loaded(stream.getvalue(), 1000, channels=5):
        pass
    broken = stream.getvalue()[:70]
    with pytest.raises(BadImage, match="a broken array"), loaded(broken, BOUND, channels=5):
        pass


def test_people_see_magenta_and_green_of_two_channels_and_the_first_three_of_more() -> None:
    pixels = RNG.integers(0, 256, (2, 3, 4), dtype=np.uint8)
    assert np.array_equal(np.asarray(visible_image(pixels)), pixels[..., :3])
    assert np.array_equal(np.asarray(visible_image(pixels[..., :2])), pixels[..., [0, 1, 0]])


def test_the_range_of_floats_is_that_of_training() -> None:
    train, held_out = [Levels(low=-5.0, high=900.0), Levels()], [Levels(low=0.0, high=2000.0)]
    found = set_depth("auto", train, held_out)
    assert found.depth.ranges == ((-5.0, 900.0),)
    assert "1 images of floats have values outside of -5 to 900 (of the training images)" in found.warnings[0]
    assert set_depth("auto", train, []).depth == set_depth("auto", train, held_out).depth
    assert set_depth("auto", [Levels(low=0.0, high=0.5)], []).depth == SIXTEEN_BITS
    assert set_depth("auto", train, held_out, (0.0, 100.0)).depth.ranges == ((0.0, 100.0),)


def test_a_photo_of_floats_outside_of_the_range_is_a_warning() -> None:
    depth = BitDepth(ranges=((0.0, 9.0),))
    assert "1 photos have values" in mismatches(depth, {"a": Levels(low=0.0, high=10.0)})[0]
    assert mismatches(depth, {"a": Levels(low=0.0, high=8.0)}) == []


def gray_floats(values: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    return stream.getvalue()


def test_gray_floats_are_scaled_by_their_range() -> None:
    values = np.array([[0.0, 450.0, 900.0]], np.float32)
    picture = load(gray_floats(values), BOUND)
    assert picture.levels == Levels(low=0.0, high=900.0)
    assert np.asarray(picture.rgb(BitDepth(ranges=((0.0, 900.0),))))[0, :, 1].tolist() == [0, 128, 255]
    with pytest.raises(BadImage, match="NaN or infinite"):
        load(gray_floats(np.array([[0.0, np.nan]], np.float32)), BOUND)


def test_statistics_are_of_the_pixels_in_their_ranges() -> None:
    values = RNG.normal([100, -3, 0], [20, 1, 5], (20000, 3)).astype(np.float32)
    depth = depth_of(values, None, are_bytes=False)
    low, high = np.array(depth.ranges).T
    assert np.allclose([low, high], np.percentile(values, [0.1, 99.9], axis=0), rtol=1e-4)
    unit = ((values - low) / (high - low)).clip(0, 1)
    assert np.allclose(depth.mean, unit.mean(axis=0), atol=1e-5)
    assert np.allclose(depth.std, unit.std(axis=0), atol=1e-5)
    assert depth_of(values, (0.0, 200.0), are_bytes=False).ranges == ((0.0, 200.0),) * 3
    assert depth_of(values, None, are_bytes=True).ranges == ((0.0, 255.0),) * 3


def write_set(folder: Path, held_out: int = 1) -> list[Sample]:
    for split, factor in (("train", 1), ("val", held_out), ("test", held_out)):
        for label in "ab":
            for i in range(3):
                path = folder / split / label / f"{i}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                values = np.random.default_rng([i, ord(label), len(split)]).integers(0, 4000, (12, 14, 5))
                path.write_bytes(tiff_file((values * factor).astype("<u2")))
    return list(scan(str(folder)).samples)


def test_val_and_test_change_nothing_that_is_measured(tmp_path: Path) -> None:
    one, other = write_set(tmp_path / "a"), write_set(tmp_path / "b", held_out=9)
    config = DataConfig(uri=str(tmp_path))
    depths = [channel_depth([s for s in each if s.split == "train"], 5, config).depth for each in (one, other)]
    assert depths[0] == depths[1]
    assert depths[0].channels == len(depths[0].mean) == 5
    assert 3900 < depths[0].ranges[0][1] < 4000


def test_an_audit_names_images_with_other_channels_and_remembers_how_they_were_read(tmp_path: Path) -> None:
    write_set(tmp_path / "a")
    manifest, config = scan(str(tmp_path / "a")), DataConfig(uri=str(tmp_path / "a"), cache="off")
    for _ in range(2):
        assert len(audit(manifest, config, channels=5).samples) == 18
        with pytest.raises(
            DataError, match=r"(?s)18 of 18 images cannot be decoded.*an image of 5 channels; expected 4"
        ):
            audit(manifest, config, channels=4)
        with pytest.raises(DataError, match=r"for 2 to 16 channels, set model.channels"):
            audit(manifest, config)


def test_images_of_channels_have_a_hash_that_their_scale_does_not_change(tmp_path: Path) -> None:
    samples = []
    for name, gain in (("a", 1), ("b", 7)):
        path = tmp_path / f"{name}.tif"
        path.write_bytes(tiff_file((smooth(40, 40)[..., [0, 1, 2, 0]].astype(np.uint16) * gain).astype("<u2")))
        samples.append(Sample(name, str(path), "x", digest=name))
    hashes = phashes(samples, BOUND, channels=4)
    assert hashes["a"] == hashes["b"]


@pytest.mark.parametrize("channels", [2, 4, 13])
@pytest.mark.parametrize(
    "options",
    [
        {"strength": 1.0, "erasing": 1.0, "blur": True, "rotate90": True, "vflip": True},
        {"strength": 0.0, "crop": False},
    ],
)
def test_views_keep_their_channels(channels: int, options: dict[str, Any]) -> None:
    image = smooth(24, 30)[..., np.arange(channels) % 3]
    augment = TrainAugment(AugmentConfig(**options), preprocess(channels))
    for i in range(20):
        view = augment.view(image, sample_rng(0, 0, i))
        assert view.shape == (16, 16, channels)
        assert np.array_equal(view[..., 0], view[..., 3 % channels]) or channels == 2


def test_geometry_is_the_same_for_every_channel() -> None:
    image = smooth(24, 30)
    draw = Draw(Box(2, 3, 16, 18), 0.2, True, False, 1, None, 0.6, None)
    rgb = TrainAugment(AugmentConfig(), preprocess(3)).apply(image, draw)
    five = TrainAugment(AugmentConfig(), preprocess(5)).apply(image[..., [0, 1, 2, 0, 1]], draw)
    assert np.array_equal(five, rgb[..., [0, 1, 2, 0, 1]])


def test_color_of_other_channels_is_brightness_and_contrast_alone() -> None:
    view = RNG.integers(60, 120, (16, 16, 5), dtype=np.uint8)
    assert np.array_equal(recolored(view, Color(1, 1, 0.0, 2.0)), view)
    brighter = recolored(view, Color(1.5, 1, 1, 0)).astype(int)
    assert np.abs(brighter - np.rint(view * 1.5)).max() <= 1
    flat = recolored(view, Color(1, 0.5, 1, 0)).astype(float)
    assert np.allclose(flat, view * 0.5 + view[::8, ::8].mean(axis=(0, 1)) * 0.5, atol=1)


def test_a_file_that_changed_its_channels_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff_file(np.zeros((4, 4, 4), "<u1")))
    images = FileImages([Sample("x", str(tmp_path / "x.tif"), "a")], preprocess(5), BOUND)
    with pytest.raises(DataError, match=r"x.tif: an image of 4 channels; expected 5"):
        images[0]


def test_a_window_is_the_linear_function_of_dicom() -> None:
    values = np.arange(-300.0, 301.0)[None, :, None]
    pixels = ChannelValues(values, window=(40.0, 400.0)).scaled(SIXTEEN_BITS)[0, :, 0]
    low, high = 40 - 0.5 - 399 / 2, 40 - 0.5 + 399 / 2
    assert (pixels[values[0, :, 0] <= low] == 0).all()
    assert (pixels[values[0, :, 0] > high] == 255).all()
    override = ChannelValues(values, window=(40.0, 400.0)).scaled(BitDepth(window=(0.0, 10.0)))
    assert override[0, :, 0].tolist().count(255) > 290
    assert np.array_equal(255 - pixels, ChannelValues(values, (40.0, 400.0), True).scaled(SIXTEEN_BITS)[0, :, 0])
