"""The same photo under another name, size or compression: found by a hash of what it looks like.

The hash has 63 bits, the signs of the lowest frequencies of the grey image against their median (pHash, Zauner 2010): what
differs in a few of them is the same picture, whatever its bytes. Crops and mirrored copies are others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.decode import BadImage, draft, loaded, read
from raytl.data.manifest import Sample
from raytl.events import OnEvent, Work, ignore
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

NEAR_BITS = 4
"""Hashes that differ in at most so many bits are of the same picture."""
_SIDE = 32
_LOW = 8
_BLOCK = 4096
Hashes = NDArray[np.uint64]


def phash(image: Image.Image) -> int:
    """The hash of what the picture looks like."""
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(grey, norm="ortho")[:_LOW, :_LOW].ravel()[1:]  # the first is the brightness
    return sum(1 << place for place in np.flatnonzero(low > np.median(low)).tolist())


def phashes(
    samples: Sequence[Sample],
    max_pixels: int,
    depth: BitDepth = SIXTEEN_BITS,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> dict[str, int]:
    """The hash of each sample's picture, by the digest of its bytes; without those that cannot be read any more."""
    found: dict[str, int] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        hashes = pool.map(lambda sample: _hash_at(sample.path, max_pixels, depth, s3), samples)
        for done, (sample, value) in enumerate(zip(samples, hashes, strict=True), start=1):
            if value is not None:
                found[sample.digest] = value
            if done % 100 == 0 or done == len(samples):
                on_event(Work("looking for copies", done, len(samples)))
    return found


def nearest(hashes: Sequence[int], known: Sequence[int], bits: int = NEAR_BITS) -> list[int | None]:
    """For each hash the place in `known` of the nearest one within `bits`; None where there is none."""
    return [place if distance <= bits else None for place, distance in _nearest(hashes, known)]


def _nearest(hashes: Sequence[int], known: Sequence[int]) -> Iterator[tuple[int, int]]:
    if not known:
        yield from ((0, 64) for _ in hashes)
        return
    others = np.array(known, dtype=np.uint64)
    for value in np.array(hashes, dtype=np.uint64):
        best, at = 64, 0
        for start in range(0, len(others), _BLOCK * 64):
            distances = np.bitwise_count(others[start : start + _BLOCK * 64] ^ value)
            place = int(distances.argmin())
            if int(distances[place]) < best:
                best, at = int(distances[place]), start + place
        yield at, best


def _hash_at(path: str, max_pixels: int, depth: BitDepth, s3: S3Settings) -> int | None:
    try:
        data = read(path, max_pixels, s3)
        if small := draft(data, max_pixels, 4 * _SIDE):
            return phash(small)
        with loaded(data, max_pixels, s3) as picture:
            return phash(picture.rgb(depth))
    except BadImage:
        return None
