"""Find copies of a photo with another name, size or compression by a perceptual hash.

The hash has 63 bits: whether each of the lowest DCT frequencies of the grayscale image, without the brightness, exceeds their
median (pHash, Zauner 2010). Images whose hashes differ in a few bits are copies; crops and mirror images are not.

`imagehash` 4.3.2 is not used: its `phash` includes the brightness in the median, so 48 of 300 photos get a hash that differs
by 2 to 4 bits, as much as `NEAR_BITS` allows, and hashes stored in registries would not match. No parameter changes that;
its `dhash`, `whash` and `average_hash` are different hashes. It is as fast (1.28 ms a photo, this module 1.30 ms), but
needs PyWavelets and cannot use the JPEG draft decoding here. See experiments/LOG.md, 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.cpus import usable_cpus
from raytl.data.bit_depth import RGB, SIXTEEN_BITS, BitDepth
from raytl.data.decode import BadImage, draft, loaded, read
from raytl.data.manifest import Sample
from raytl.events import OnEvent, Work, ignore, throttled
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

NEAR_BITS = 4
"""Hashes that differ in at most this many bits are copies of the same image."""
_SIDE = 32
_LOW = 8
_BLOCK = 4096
Hashes = NDArray[np.uint64]


def phash(image: Image.Image) -> int:
    """Return the perceptual hash of the image."""
    from scipy.fft import dctn  # takes a quarter of a second to import, and workers hash nothing

    gray = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(gray, norm="ortho")[:_LOW, :_LOW].ravel()[1:]  # without the first, the brightness
    return sum(1 << place for place in np.flatnonzero(low > np.median(low)).tolist())


def phashes(
    samples: Sequence[Sample],
    max_pixels: int,
    depth: BitDepth = SIXTEEN_BITS,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
    channels: int = RGB,
) -> dict[str, int]:
    """Return the hash of each sample by the digest of its bytes, without samples that can no longer be read.

    Images of other than three `channels` are hashed by the mean of them, each from its lowest to its highest value in the image.
    """
    by_digest: dict[str, int] = {}
    report = throttled(on_event, first_s=0)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        hashes = pool.map(lambda sample: _hash_at(sample.path, max_pixels, depth, s3, channels), samples)
        for done, (sample, value) in enumerate(zip(samples, hashes, strict=True), start=1):
            if value is not None:
                by_digest[sample.digest] = value
            report(Work("looking for copies", done, len(samples)))
    return by_digest


def nearest(hashes: Sequence[int], candidates: Sequence[int], bits: int = NEAR_BITS) -> list[int | None]:
    """Return, for each hash, the index in `candidates` of the nearest one within `bits`; None if there is none."""
    return [place if distance <= bits else None for place, distance in _nearest(hashes, candidates)]


def copies(hashes: Sequence[int | None], bits: int = NEAR_BITS) -> NDArray[np.int64]:
    """Return the group of each hash, `(n,)`: the index of the first one within `bits` that starts a group; None is alone."""
    table = np.array([value or 0 for value in hashes], dtype=np.uint64)
    is_open = np.array([value is not None for value in hashes], dtype=np.bool_)
    groups = np.arange(len(table))
    for first in range(len(table)):
        if is_open[first]:
            near = first + np.flatnonzero(is_open[first:] & (np.bitwise_count(table[first:] ^ table[first]) <= bits))
            groups[near], is_open[near] = first, False
    return groups


def _nearest(hashes: Sequence[int], candidates: Sequence[int]) -> Iterator[tuple[int, int]]:
    if not candidates:
        yield from ((0, 64) for _ in hashes)
        return
    others = np.array(candidates, dtype=np.uint64)
    for value in np.array(hashes, dtype=np.uint64):
        best, at = 64, 0
        for start in range(0, len(others), _BLOCK * 64):
            distances = np.bitwise_count(others[start : start + _BLOCK * 64] ^ value)
            place = int(distances.argmin())
            if int(distances[place]) < best:
                best, at = int(distances[place]), start + place
        yield at, best


def _hash_at(path: str, max_pixels: int, depth: BitDepth, s3: S3Settings, channels: int) -> int | None:
    try:
        data = read(path, max_pixels, s3)
        if channels != RGB:
            with loaded(data, max_pixels, s3, channels) as picture:
                assert picture.channels is not None, "read as channels"
                return phash(picture.channels.mean_gray())
        if small := draft(data, max_pixels, 4 * _SIDE):
            return phash(small)
        with loaded(data, max_pixels, s3) as picture:
            return phash(picture.rgb(depth))
    except BadImage:
        return None
