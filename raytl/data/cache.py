"""Cache prepared images on the node's disk by content, and open them as mapped memory.

The key is everything that determines the pixels (the file's SHA-256 and the preprocessing), so a sweep, a retraining on a
larger dataset or another split reuse images decoded before, and decode only new ones.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import DataConfig
from raytl.cpus import usable_cpus
from raytl.data import image_packs
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.images import DecodedSet, FileImages, Images, Pixels
from raytl.data.manifest import Sample
from raytl.data.sample_columns import Digests
from raytl.data.sample_table import SampleTable
from raytl.data.stream import StreamedImages, prefetch
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.events import ImagesOpened, OnEvent, Work, ignore, throttled
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket

_TYPICAL_ASPECT = 4 / 3


class _NoCache(Exception):
    """The images cannot be cached now; the text explains why to the user."""


def open_images(
    samples: Sequence[Sample],
    preprocess: Preprocess,
    config: DataConfig,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> Images:
    """Return the prepared images of the samples, in order: from the cache, adding missing ones, or from the files.

    An event reports which. Concurrent processes decode each image only once.

    Raises:
        DataError: they do not fit and `data.cache` is on, or a file became unreadable.
    """
    files = source_images(samples, preprocess, config.max_pixels, s3)
    if config.cache == "off" or not samples:
        return files
    try:
        images, misses = _cached(samples, files, preprocess, config, on_event)
    except (_NoCache, OSError) as exc:
        if config.cache == "on":
            raise DataError(
                f"data.cache is on, but {exc}; free disk space, raise data.cache_limit_gb, or set data.cache to auto"
            ) from exc
        work = "fetching and decoding" if isinstance(files, StreamedImages) else "decoding"
        on_event(
            ImagesOpened(f"{work} {len(samples)} images again in every epoch: {exc}", "warning", misses=len(samples))
        )
        return files
    text = f"{len(images)} decoded images ({_size(images.bytes)}) opened from {image_packs.root()}"
    on_event(ImagesOpened(text, hits=len(images) - misses, misses=misses))
    return images


def source_images(
    samples: Sequence[Sample], preprocess: Preprocess, max_pixels: int, s3: S3Settings = ENVIRONMENT
) -> FileImages | StreamedImages:
    """Return the prepared images of the samples, decoded on every access, from their files or their bucket."""
    table = SampleTable.of(samples)
    if table.paths.any_in(in_bucket):
        return StreamedImages(table, preprocess, max_pixels, s3)
    return FileImages(table, preprocess, max_pixels, s3)


def _cached(
    samples: Sequence[Sample], files: Images, preprocess: Preprocess, config: DataConfig, on_event: OnEvent
) -> tuple[DecodedSet, int]:
    """Return the set from packs, after writing missing images into a new pack, and the number of these."""
    _refuse_hopeless(samples, preprocess, config)
    digests = _digests(samples)
    located = _look_up(digests, preprocess)
    misses = len(located.missing)
    if not located.complete:
        with image_packs.build_lock(preprocess.key):
            located = _look_up(digests, preprocess)
            if not located.complete:
                _build(files, digests, located.missing, preprocess, config, on_event)
                located = _look_up(digests, preprocess)
    if not located.complete:
        raise _NoCache("decoded images were evicted by another run as soon as they were written")
    return located.open(), misses


def _digests(samples: Sequence[Sample]) -> NDArray[np.bytes_]:
    """Return the content hashes of the samples, `(n,) S64`."""
    column = SampleTable.of(samples).digests
    if isinstance(column, Digests):
        digests = np.frombuffer(column.raw.tobytes().hex().encode(), dtype="S64")
        unknown = not bool(column.raw.any(axis=1).all())
    else:
        digests = np.array([digest.encode() for digest in column], dtype="S64")
        unknown = bool((digests == b"").any())
    if unknown:
        raise _NoCache("the files were not audited, so their content has no digest")
    return digests


def _refuse_hopeless(samples: Sequence[Sample], preprocess: Preprocess, config: DataConfig) -> None:
    """Raise _NoCache if even the smallest images could not fit, before millions of them are looked up.

    Twice as many as could fit are looked at, as equal images are stored once.
    """
    capacity = _limit(config) // _least_bytes(preprocess)
    if preprocess.frame is not None or len(samples) <= 2 * capacity:
        return
    distinct = len(np.unique(_digests(samples[: 2 * capacity + 1])))
    if distinct > max(capacity, sum(len(pack.index) for pack in image_packs.complete_packs(preprocess.key))):
        raise _NoCache(_too_large(len(samples), _estimate(len(samples), preprocess), config))


def _least_bytes(preprocess: Preprocess) -> int:
    """Return the bytes of the smallest prepared image, which is square."""
    return int(preprocess.resize_px**2 * preprocess.channels)


@dataclass(frozen=True)
class _Located:
    """The locations of images; `places` rows are (pack, offset, height, width), with pack -1 for missing ones."""

    packs: Sequence[image_packs.Pack]
    places: NDArray[np.int64]
    channels: int

    @property
    def missing(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.places[:, 0] < 0)

    @property
    def complete(self) -> bool:
        return len(self.missing) == 0

    def open(self) -> DecodedSet:
        """Return the images as one set, and mark its packs as used."""
        for pack in self.packs:
            pack.touch()
        files, locks = [pack.pixels for pack in self.packs], [pack.lock for pack in self.packs]
        return DecodedSet(files, self.places, locks, self.channels)


def _look_up(digests: NDArray[np.bytes_], preprocess: Preprocess) -> _Located:
    """Return the locations of images in the packs of the preprocessing; packs without any may be evicted."""
    places = np.full((len(digests), 4), -1, dtype=np.int64)
    used: list[image_packs.Pack] = []
    for pack in image_packs.complete_packs(preprocess.key):
        row = np.searchsorted(pack.index["digest"], digests).clip(max=len(pack.index) - 1)
        hit = np.flatnonzero((pack.index["digest"][row] == digests) & (places[:, 0] < 0))
        if len(hit) == 0:
            continue
        rows = pack.index[row[hit]]
        places[hit] = np.column_stack([np.full(len(hit), len(used)), rows["offset"], rows["height"], rows["width"]])
        used.append(pack)
    return _Located(used, places, preprocess.channels)


def _build(
    files: Images,
    digests: NDArray[np.bytes_],
    missing: NDArray[np.int64],
    preprocess: Preprocess,
    config: DataConfig,
    on_event: OnEvent,
) -> None:
    """Decode the missing images into a new pack."""
    first = np.unique(digests[missing], return_index=True)[1]  # identical content is stored once
    indices = missing[np.sort(first)].tolist()
    limit = _limit(config)
    if not image_packs.evict_for(needed := _estimate(len(indices), preprocess), limit):
        raise _NoCache(_too_large(len(indices), needed, config))
    writer = image_packs.PackWriter()
    try:
        progress = _Progress("decoding", len(indices), on_event)

        def store(i: int) -> tuple[str, tuple[int, int, int]]:
            if writer.bytes > limit:
                raise _NoCache(_too_large(len(indices), writer.bytes, config))
            place = writer.write(files[i])
            progress.increment()
            return digests[i].decode(), place

        prefetch(files, indices)
        with ThreadPoolExecutor(usable_cpus()) as threads:
            places = dict(threads.map(store, indices))
        if not writer.publish(preprocess.key, places, limit):
            raise _NoCache(_too_large(len(indices), writer.bytes, config))
    finally:
        writer.discard()


class _Progress:
    """Count images from several threads, and report progress at most ten times a second."""

    def __init__(self, name: str, total: int, on_event: OnEvent) -> None:
        self._name, self._total, self._report = name, total, throttled(on_event, first_s=0)
        self._lock = threading.Lock()
        self._done = 0

    def increment(self) -> None:
        with self._lock:
            self._done += 1
            self._report(Work(self._name, self._done, self._total))


class SetWriter:
    """Stores images decoded by the audit for `open_images`; a full disk only stops the storing."""

    def __init__(self, samples: Sequence[Sample], preprocess: Preprocess, limit: int) -> None:
        self._keys = [sample.key for sample in samples]
        self._preprocess, self._limit = preprocess, limit
        self._places: dict[str, tuple[int, int, int]] = {}
        self._writer = image_packs.PackWriter()
        self._failed = False

    def add(self, i: int, array: Pixels) -> None:
        """Store the prepared image of `samples[i]`, which is not a test sample; from any thread, in any order."""
        if self._failed:
            return
        try:
            self._places[self._keys[i]] = self._writer.write(array)
            self._failed = self._writer.bytes > self._limit
        except OSError:
            self._failed = True

    def commit(self, samples: Sequence[Sample], depth: BitDepth = SIXTEEN_BITS) -> int:
        """Publish the images added for these samples (train and val, with their digests) and close the writer.

        `depth` is the bit depth of the whole dataset, with which all added images were scaled.
        Return the number of images new to the cache; 0 also if they did not fit.
        """
        preprocess = self._preprocess.at(depth)
        try:
            with image_packs.build_lock(preprocess.key):
                return 0 if self._failed else self._publish([s for s in samples if s.key in self._places], preprocess)
        except OSError:
            return 0
        finally:
            self.abort()

    def _publish(self, samples: Sequence[Sample], preprocess: Preprocess) -> int:
        assert all(sample.split != "test" for sample in samples), "test images are never stored"
        new = _look_up(_digests(samples), preprocess).missing if samples else ()
        places = {samples[i].digest: self._places[samples[i].key] for i in new}
        return len(places) if places and self._writer.publish(preprocess.key, places, self._limit) else 0

    def abort(self) -> None:
        """Remove unpublished images."""
        self._failed = True
        self._writer.discard()


def set_writer(samples: Sequence[Sample], preprocess: Preprocess, config: DataConfig) -> SetWriter | None:
    """Return a writer for the decoded images of train and val samples, which need no digests yet.

    Return None if the cache is off, they would not fit, or all of them (by digest, if known) are cached already.
    """
    limit = _limit(config)
    if config.cache == "off" or not samples:
        return None
    try:
        if all(sample.digest for sample in samples) and _look_up(_digests(samples), preprocess).complete:
            return None
        if not image_packs.evict_for(_estimate(len(samples), preprocess), limit):
            return None
        return SetWriter(samples, preprocess, limit)
    except OSError:
        return None


def _limit(config: DataConfig) -> int:
    return int(config.cache_limit_gb * 1e9)


def _estimate(images: int, preprocess: Preprocess) -> int:
    """Return the estimated bytes of this many prepared images before their shapes are known."""
    if preprocess.frame is not None:
        return images * preprocess.frame[0] * preprocess.frame[1] * preprocess.channels
    aspect = 1.0 if preprocess.crop_mode == "squash" else _TYPICAL_ASPECT
    return int(images * preprocess.resize_px**2 * aspect * preprocess.channels)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _too_large(images: int, needed: int, config: DataConfig) -> str:
    return (
        f"{images} decoded images need about {_size(needed)}, more than data.cache_limit_gb "
        f"({config.cache_limit_gb:g}) or the free space on the disk of {image_packs.root()} allows"
    )
