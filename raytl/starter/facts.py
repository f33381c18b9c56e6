"""Facts about a dataset that decide its first experiment. Only training images are opened; held-out ones are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import numpy as np
from PIL import Image

from raytl.config.schema import DataConfig, ModelConfig
from raytl.data.decode import BadImage, decode
from raytl.data.formats import is_packed, names_objects, scan
from raytl.data.manifest import SPLITS, Manifest, Sample
from raytl.data.split import apply_splits
from raytl.data.targets import names_in
from raytl.events import OnEvent, Work
from raytl.models.backbone import preprocess_of
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

OPENED = 96
"""Training images that are opened, evenly spaced by key."""
_THREADS = 8
_GREY_TOLERANCE = 6
_SMALL_SIDE = 32


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The opened training images: how many there are, how many of them are gray or unreadable, and their usual shape."""

    opened: int
    gray: int
    unreadable: int
    short_px: int
    """Median of the shorter edges."""
    aspect: float
    """Median of longer side over shorter side."""


@dataclass(frozen=True)
class DataFacts:
    """One dataset: images by split and class, the splits it brings itself, and the size of what lies in a bucket."""

    uri: str
    counts: Mapping[str, Mapping[str, int]]
    brought: tuple[str, ...]
    remote_bytes: int
    images: ImageFacts
    model_px: int
    """Side of the model's own input."""
    center_crop: float | None
    """Share of the shorter side that evaluation keeps; None if it squashes the image instead."""

    @property
    def train(self) -> Mapping[str, int]:
        """Training images by class."""
        return self.counts["train"]

    def total(self, split: str) -> int:
        """Return the number of images in a split."""
        return sum(self.counts[split].values())


def look(uri: str, model: str, on_event: OnEvent, s3: S3Settings = ENVIRONMENT) -> DataFacts:
    """Return the facts about the dataset at `uri` for a model.

    Raises:
        DataError: nothing is there, or its layout is wrong.
        ModelError: an unknown model.
        StoreError: the bucket cannot be read.
    """
    preprocess = preprocess_of(ModelConfig(name=model, weights="none"), s3)
    manifest = _listed(uri, on_event, s3)
    samples = apply_splits(manifest.samples, DataConfig(uri=uri), s3)
    train = [sample for sample in samples if sample.split == "train"]
    return DataFacts(
        uri=uri,
        counts={split: _by_class(samples, split, manifest.classes) for split in SPLITS},
        brought=tuple(split for split in SPLITS if any(sample.split == split for sample in manifest.samples)),
        remote_bytes=sum(info.size for info in manifest.objects.values()),
        images=_opened(_spaced(train), on_event, s3),
        model_px=preprocess.image_px,
        center_crop=preprocess.image_px / preprocess.resize_px if preprocess.crop_mode == "center" else None,
    )


def _listed(uri: str, on_event: OnEvent, s3: S3Settings) -> Manifest:
    """List images in a bucket where they are; archives have to be fetched."""
    return scan(uri, on_event, stream=names_objects(uri) and not is_packed(uri, s3), s3=s3)


def _by_class(samples: Sequence[Sample], split: str, classes: Sequence[str]) -> dict[str, int]:
    counted = Counter(name for sample in samples if sample.split == split for name in names_in(sample.target))
    return {name: counted[name] for name in classes}


def _spaced(samples: Sequence[Sample]) -> list[Sample]:
    step = max(1, -(-len(samples) // OPENED))
    return list(samples[::step])


def _opened(samples: Sequence[Sample], on_event: OnEvent, s3: S3Settings) -> ImageFacts:
    max_pixels = DataConfig.model_fields["max_pixels"].default
    sizes, gray, unreadable = [], 0, 0
    with ThreadPoolExecutor(_THREADS) as pool:
        opened = pool.map(lambda sample: _image(sample, max_pixels, s3), samples)
        for done, image in enumerate(opened, start=1):
            on_event(Work("looking at images", done, len(samples)))
            if image is None:
                unreadable += 1
                continue
            sizes.append(sorted(image[0]))
            gray += image[1]
    short = median(short for short, _ in sizes) if sizes else 0
    aspect = median(long / short for short, long in sizes) if sizes else 1.0
    return ImageFacts(len(samples), gray, unreadable, round(short), float(aspect))


def _image(sample: Sample, max_pixels: int, s3: S3Settings) -> tuple[tuple[int, int], bool] | None:
    """Return the size of an image and whether it is gray; None if it cannot be decoded."""
    try:
        image = decode(sample.path, max_pixels, s3=s3)
    except BadImage:
        return None
    return image.size, _is_gray(image)


def _is_gray(image: Image.Image) -> bool:
    small = np.asarray(image.resize((_SMALL_SIDE, _SMALL_SIDE)), dtype=np.int16)
    return int(np.ptp(small, axis=2).max()) <= _GREY_TOLERANCE
