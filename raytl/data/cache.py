"""Decode once: prepared images are kept on the node's disk by content, and opened as memory.

What decides the bytes (the file's sha256 and the preprocessing) is their name, so a search, a retraining on a grown
dataset or another split share what was decoded before, and decode only what is new.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import DataConfig
from raytl.data import image_packs
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.images import DecodedSet, FileImages, Images, Pixels
from raytl.data.manifest import Sample
from raytl.data.stream import StreamedImages, prefetch
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.events import ImagesOpened, OnEvent, Work, ignore
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.throttle import Throttle
from raytl.uris import in_bucket

_TYPICAL_ASPECT = 4 / 3
_EVENTS_EVERY_S = 0.1


class _NoCache(Exception):
    """Why the images cannot be cached now, as text for the user."""


def open_images(
    samples: Sequence[Sample],
    preprocess: Preprocess,
    config: DataConfig,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> Images:
    """The samples' prepared images, in their order: from the cache, decoding what it lacks, or from the files.

    A Message says which. Several processes that ask at once decode once.

    Raises:
        DataError: `data.cache: on` and there is no room for them; or a file that was readable no longer is.
    """
    files = source_images(samples, preprocess, config.max_pixels, s3)
    if config.cache == "off" or not samples:
        return files
    try:
        images, misses = _cached(samples, files, preprocess, config, on_event)
    except (_NoCache, OSError) as exc:
        if config.cache == "on":
            raise DataError(f"data.cache is on, but {exc}; make room, raise data.cache_limit_gb, or set auto") from exc
        done = "fetching and decoding" if isinstance(files, StreamedImages) else "decoding"
        on_event(ImagesOpened(f"{done} {len(samples)} images anew each epoch: {exc}", "warning", misses=len(samples)))
        return files
    text = f"{len(images)} decoded images ({_size(images.bytes)}) opened from {image_packs.root()}"
    on_event(ImagesOpened(text, hits=len(images) - misses, misses=misses))
    return images


def source_images(
    samples: Sequence[Sample], preprocess: Preprocess, max_pixels: int, s3: S3Settings = ENVIRONMENT
) -> FileImages | StreamedImages:
    """The samples' prepared images, made anew each time they are asked for: from their files, or from their bucket."""
    if any(in_bucket(sample.path) for sample in samples):
        return StreamedImages(samples, preprocess, max_pixels, s3)
    return FileImages(samples, preprocess, max_pixels)


def _cached(
    samples: Sequence[Sample], files: Images, preprocess: Preprocess, config: DataConfig, on_event: OnEvent
) -> tuple[DecodedSet, int]:
    """The set from packs, after writing one of what they lack, and how many they lacked."""
    digests = _digests(samples)
    found = _look_up(digests, preprocess)
    misses = len(found.missing)
    if not found.complete:
        with image_packs.build_lock(preprocess.key):
            found = _look_up(digests, preprocess)
            if not found.complete:
                _build(files, digests, found.missing, preprocess, config, on_event)
                found = _look_up(digests, preprocess)
    if not found.complete:
        raise _NoCache("decoded images were evicted by another run as soon as they were written")
    return found.opened(), misses


def _digests(samples: Sequence[Sample]) -> NDArray[np.bytes_]:
    """The samples' content hashes, `(n,) S64`."""
    digests = np.array([sample.digest.encode() for sample in samples], dtype="S64")
    if bool((digests == b"").any()):
        raise _NoCache("the files were not audited, so their content has no name")
    return digests


@dataclass(frozen=True)
class _Found:
    """Which of the wanted images lie where; `places` rows are (pack, offset, height, width), pack -1 where none has it."""

    packs: Sequence[image_packs.Pack]
    places: NDArray[np.int64]

    @property
    def missing(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.places[:, 0] < 0)

    @property
    def complete(self) -> bool:
        return len(self.missing) == 0

    def opened(self) -> DecodedSet:
        """The images as one set; every pack in it is noted as used."""
        for pack in self.packs:
            pack.touch()
        return DecodedSet([pack.pixels for pack in self.packs], self.places, [pack.lock for pack in self.packs])


def _look_up(digests: NDArray[np.bytes_], preprocess: Preprocess) -> _Found:
    """Finds images by their content in the packs of the preprocessing; packs without any are free to be evicted."""
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
    return _Found(used, places)


def _build(
    files: Images,
    digests: NDArray[np.bytes_],
    missing: NDArray[np.int64],
    preprocess: Preprocess,
    config: DataConfig,
    on_event: OnEvent,
) -> None:
    """Decodes the missing images into a pack of their own."""
    first = np.unique(digests[missing], return_index=True)[1]  # the same content twice is stored once
    wanted = missing[np.sort(first)].tolist()
    limit = _limit(config)
    if not image_packs.evict_for(needed := _estimate(len(wanted), preprocess), limit):
        raise _NoCache(_too_large(len(wanted), needed, config))
    writer = image_packs.PackWriter()
    try:
        progress = _Progress("decoding", len(wanted), on_event)

        def store(i: int) -> tuple[str, tuple[int, int, int]]:
            if writer.bytes > limit:
                raise _NoCache(_too_large(len(wanted), writer.bytes, config))
            place = writer.write(files[i])
            progress.one_more()
            return digests[i].decode(), place

        prefetch(files, wanted)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            places = dict(threads.map(store, wanted))
        if not writer.publish(preprocess.key, places, limit):
            raise _NoCache(_too_large(len(wanted), writer.bytes, config))
    finally:
        writer.discard()


class _Progress:
    """Count images from several threads, and report progress at most ten times a second."""

    def __init__(self, name: str, total: int, on_event: OnEvent) -> None:
        self._name, self._total, self._on_event = name, total, on_event
        self._lock = threading.Lock()
        self._done, self._throttle = 0, Throttle(_EVENTS_EVERY_S)

    def one_more(self) -> None:
        with self._lock:
            self._done += 1
            if self._done == self._total or self._throttle.is_due():
                self._on_event(Work(self._name, self._done, self._total))


class SetWriter:
    """Keeps images that somebody decodes anyway (the audit) for `open_images`; a full disk only ends the keeping."""

    def __init__(self, samples: Sequence[Sample], preprocess: Preprocess, limit: int) -> None:
        self._keys = [sample.key for sample in samples]
        self._preprocess, self._limit = preprocess, limit
        self._places: dict[str, tuple[int, int, int]] = {}
        self._writer = image_packs.PackWriter()
        self._failed = False

    def add(self, i: int, array: Pixels) -> None:
        """Keeps the prepared image of `samples[i]`, which is no test sample; from any thread, in any order."""
        if self._failed:
            return
        try:
            self._places[self._keys[i]] = self._writer.write(array)
            self._failed = self._writer.bytes > self._limit
        except OSError:
            self._failed = True

    def commit(self, samples: Sequence[Sample], depth: BitDepth = SIXTEEN_BITS) -> int:
        """Publishes the images added for these samples (train and val, with their digests) and closes the writer.

        `depth` is that of the whole data set; all images that were added are what it makes of their files.
        Returns how many were new to the cache: 0 also where there was no room for them.
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
        """Removes what was not published."""
        self._failed = True
        self._writer.discard()


def set_writer(samples: Sequence[Sample], preprocess: Preprocess, config: DataConfig) -> SetWriter | None:
    """A writer for the decoded images of train and val samples, digests not needed yet.

    None when the cache is off, they would not fit, or all of them (by digest, where known) are there already.
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
    """Bytes of so many prepared images, before their shapes are known."""
    aspect = 1.0 if preprocess.crop_mode == "squash" else _TYPICAL_ASPECT
    return int(images * preprocess.resize_px**2 * aspect * 3)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _too_large(images: int, needed: int, config: DataConfig) -> str:
    return (
        f"{images} decoded images need about {_size(needed)}, which neither data.cache_limit_gb "
        f"({config.cache_limit_gb:g}) nor the disk of {image_packs.root()} has to spare"
    )
