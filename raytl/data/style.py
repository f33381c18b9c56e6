"""The style of another domain on labelled images: the low-frequency amplitudes of one of its images (FDA, Yang & Soatto 2020).

The amplitudes of low frequencies are colors, light and shading; the phases are shapes, and stay. Which images get a style, and
of which other image, follows from (seed, epoch, sample) alone, as every augmented view does: any number of workers and loader
processes makes the same batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raytl.data import shard
from raytl.data.draw import sample_rng
from raytl.data.images import Images, Pixels
from raytl.data.transforms import Preprocess, eval_pixels

_STREAM = "adapt.style"
"""Separates these draws from those of augmentation."""


@dataclass(frozen=True)
class FourierStyle:
    """The style of one of `images` for each labelled image, with a `probability`, after augmentation; geometry stays, and so
    do targets."""

    images: Images
    preprocess: Preprocess
    probability: float
    beta: float

    def applied(self, view: Pixels, seed: int, epoch: int, i: int) -> Pixels:
        """Return the `view` of sample `i` in an epoch, in the style of an image that is drawn for it."""
        draw = sample_rng(shard.source_seed(seed, _STREAM), epoch, i)
        if draw.random() >= self.probability:
            return view
        other = self.images[int(draw.integers(len(self.images)))]
        return restyled(view, eval_pixels(other, self.preprocess), self.beta)


def restyled(view: Pixels, other: Pixels, beta: float) -> Pixels:
    """Return `view` with the amplitudes of `other`, both `(height, width, channels) uint8`, up to a frequency of
    `floor(beta * shorter side)` in each direction; its phases and all other amplitudes stay.

    Values outside 0 to 255 are clipped. Channels are independent.
    """
    height, width = view.shape[:2]
    highest = int(beta * min(height, width))
    rows, columns = np.arange(-highest, highest + 1)[:, None], np.arange(highest + 1)
    spectrum, style = (np.fft.rfft2(image.astype(np.float64), axes=(0, 1)) for image in (view, other))
    phases = np.exp(1j * np.angle(spectrum[rows, columns]))
    spectrum[rows, columns] = np.abs(style[rows, columns]) * phases
    pixels = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    return np.asarray(np.rint(np.clip(pixels, 0, 255)), np.uint8)
