"""Facts about a dataset that decide its first experiment. Only training images are opened; held-out ones are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from raytl.config.choice import Choice
from raytl.config.schema import DataConfig, ModelConfig, Recipe
from raytl.data.decode import BadImage, decode
from raytl.data.formats import is_packed, names_objects, scan
from raytl.data.manifest import SPLITS, Manifest, Sample
from raytl.data.object_counts import ObjectCounts, object_counts
from raytl.data.split import apply_splits
from raytl.data.target_text import counts_of
from raytl.events import OnEvent, Work
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks.detect import annotation, check_targets, task_of
from raytl.tasks.recipe import backbone_facts
from raytl.tasks.registry import task_named
from raytl.tasks.task import Task

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
    width_px: int = 0
    """Median width."""
    height_px: int = 0
    """Median height."""


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
    """Share of the shorter side that evaluation keeps; None if it squashes the image or fits it into a frame instead."""
    task: str | None = None
    """The task that the data are annotated for, or that the user set; None if it is the default one."""
    annotated: str = ""
    """The annotations of the images, as a clause."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The defaults of the task by dotted key."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Images by split; empty if the counts by class add up to them."""
    recipe: tuple[Choice, ...] = ()
    """What `recipe: auto` chooses from the counts and the model alone."""
    objects: ObjectCounts | None = None
    """The objects of the training images; None if images are not annotated with objects."""

    @property
    def train(self) -> Mapping[str, int]:
        """Training images by class, or training objects by class if the images are annotated with objects."""
        return self.counts["train"]

    def total(self, split: str) -> int:
        """Return the number of images in a split."""
        return self.sizes[split] if self.sizes else sum(self.counts[split].values())


def look(uri: str, model: str, on_event: OnEvent, s3: S3Settings = ENVIRONMENT, task: str | None = None) -> DataFacts:
    """Return the facts about the dataset at `uri` for a model, and for `task`, or else the one that the data are annotated for.

    Raises:
        DataError: nothing is there, or its layout is wrong.
        ModelError: an unknown model.
        StoreError: the bucket cannot be read.
    """
    manifest = _listed(uri, on_event, s3, task)
    default = str(Recipe.model_fields["task"].default)
    chosen = task_named(task or task_of(manifest.samples) or default)
    check_targets(chosen, manifest.samples)
    preprocess = chosen.preprocess(ModelConfig(name=model, weights="none"), s3)
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
        task=None if chosen.name == default else chosen.name,
        annotated=annotation(manifest.samples),
        defaults=chosen.defaults,
        sizes=Counter(str(sample.split) for sample in samples),
        recipe=_recipe(chosen, model, samples, manifest.classes, s3),
        objects=object_counts(sample.target for sample in train),
    )


def _recipe(
    task: Task, model: str, samples: Sequence[Sample], classes: Sequence[str], s3: S3Settings
) -> tuple[Choice, ...]:
    """Return what the recipe chooses without weights: nothing is downloaded, and no features are measured."""
    backbone = task.build(ModelConfig(name=model, weights="none"), tuple(classes), s3)
    train = sum(sample.split == "train" for sample in samples)
    counts = _by_class(samples, "train", classes)
    facts = backbone_facts(backbone, train=train, val=0, counts=counts, defaults=task.defaults)
    return tuple(choice for choice in task.recipe.choose(facts) if choice.key in task.recipe.keys)


def _listed(uri: str, on_event: OnEvent, s3: S3Settings, task: str | None) -> Manifest:
    """List images in a bucket where they are; archives have to be fetched."""
    prefer = () if task is None else task_named(task).target_types
    return scan(uri, on_event, stream=names_objects(uri) and not is_packed(uri, s3), s3=s3, prefer=prefer)


def _by_class(samples: Sequence[Sample], split: str, classes: Sequence[str]) -> dict[str, int]:
    counted = counts_of(sample.target for sample in samples if sample.split == split)
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
            sizes.append(image[0])
            gray += image[1]
    if not sizes:
        return ImageFacts(len(samples), gray, unreadable, 0, 1.0)
    short, width, height = (round(median(column)) for column in ([*map(min, sizes)], *zip(*sizes, strict=True)))
    aspect = float(median(max(size) / min(size) for size in sizes))
    return ImageFacts(len(samples), gray, unreadable, short, aspect, width, height)


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
