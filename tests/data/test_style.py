"""The style of a target image: low-frequency amplitudes alone, drawn the same for any number of workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.config.schema import AugmentConfig
from raytl.data.augment import TrainAugment
from raytl.data.loader import TrainLoader
from raytl.data.style import FourierStyle, restyled
from raytl.data.transforms import Preprocess
from raytl.tasks.classification.targets import LabelEncoder
from raytl.world import World

PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
PLAIN = TrainAugment(AugmentConfig(strength=0.0), PREPROCESS)
COUNT = 22
Array = NDArray[Any]


def noise(count: int, seed: int, size: tuple[int, ...] = (20, 20, 3)) -> list[Array]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, *size), dtype=np.uint8))


def of_the_paper(source: Array, target: Array, beta: float) -> Array:
    """FDA as its authors compute it: shifted full spectra, and a square around the zero frequency."""
    own, other = (np.fft.fft2(image.astype(np.float64), axes=(0, 1)) for image in (source, target))
    amplitude, style = (np.fft.fftshift(np.abs(each), axes=(0, 1)) for each in (own, other))
    height, width = source.shape[:2]
    reach, middle, center = int(np.floor(min(height, width) * beta)), height // 2, width // 2
    square = slice(middle - reach, middle + reach + 1), slice(center - reach, center + reach + 1)
    amplitude[square] = style[square]
    whole = np.fft.ifftshift(amplitude, axes=(0, 1)) * np.exp(1j * np.angle(own))
    return np.real(np.fft.ifft2(whole, axes=(0, 1)))


@pytest.mark.parametrize("size", [(32, 32, 3), (33, 21, 3), (20, 41, 5)])
@pytest.mark.parametrize("beta", [0.01, 0.09, 0.2, 0.49])
def test_it_is_that_of_the_paper(size: tuple[int, ...], beta: float) -> None:
    source, target = noise(2, 0, size)
    expected = of_the_paper(source, target, beta)
    assert expected.min() < 0 or expected.max() > 255 or beta == 0.01, "values to clip"
    np.testing.assert_array_equal(restyled(source, target, beta), np.rint(np.clip(expected, 0, 255)))


def test_the_smallest_square_is_the_mean_of_each_channel() -> None:
    source, target = (image // 2 + 60 for image in noise(2, 1))
    styled = restyled(source, target, 0.01).astype(np.float64)
    np.testing.assert_allclose(styled.mean((0, 1)), target.mean((0, 1)), atol=0.5)
    np.testing.assert_allclose(styled - styled.mean((0, 1)), source - source.mean((0, 1)), atol=1)


def test_an_image_in_its_own_style_is_the_image() -> None:
    (image,) = noise(1, 2)
    np.testing.assert_array_equal(restyled(image, image, 0.3), image)


def style(probability: float = 0.5) -> FourierStyle:
    return FourierStyle(noise(7, 3), PREPROCESS, probability, 0.1)


def loaded(style: FourierStyle | None, size: int = 1, workers: int = 0, epoch: int = 1) -> dict[int, bytes]:
    """The pixels of each image in an epoch, by its id, over all ranks."""
    pixels: dict[int, bytes] = {}
    for rank in range(size):
        encoder, world = LabelEncoder(np.arange(COUNT) % 3), World(rank, size, rank)
        loader = TrainLoader(
            noise(COUNT, 0), encoder, PLAIN, batch=7, seed=5, world=world, workers=workers, style=style
        )
        for batch, _ in loader.epoch(epoch):
            pixels |= {int(i): image.numpy().tobytes() for i, image in zip(batch.ids, batch.images, strict=True)}
        loader.close()
    assert len(pixels) == COUNT
    return pixels


@pytest.mark.parametrize(("size", "workers"), [(2, 0), (3, 0), (1, 1)])
def test_workers_and_loader_processes_change_no_pixel(size: int, workers: int) -> None:
    assert loaded(style(), size, workers) == loaded(style())


def test_it_falls_on_a_fraction_of_the_images_and_on_others_in_each_epoch() -> None:
    plain = [loaded(None, epoch=epoch) for epoch in range(6)]
    changed = [
        {i for i, pixels in loaded(style(), epoch=epoch).items() if pixels != plain[epoch][i]} for epoch in range(6)
    ]
    assert 0.35 < sum(map(len, changed)) / (6 * COUNT) < 0.65 and changed[0] != changed[1]
    assert all(pixels != plain[1][i] for i, pixels in loaded(style(1.0)).items())


def test_it_draws_no_random_number_of_the_augmentation() -> None:
    own, plain = loaded(style()), loaded(None)
    assert {i for i in own if own[i] == plain[i]}, "images without a style are as they were"
