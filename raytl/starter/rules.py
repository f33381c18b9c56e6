"""From facts about the data to the keys that matter for it, each with its reason. Pure.

The size and distance rules are those of docs/transfer-learning.md; the thresholds are rules of thumb, and `raytl tune`
finds better values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from raytl.config.schema import DataConfig
from raytl.starter.draft import Choice

if TYPE_CHECKING:
    from raytl.starter.facts import DataFacts

PROBE_BELOW, LAST_STAGE_BELOW, EVERYTHING_FROM = 50, 200, 20_000
"""Training images below which only the head learns, below which only the last stage does, and from which all stages do."""
SMALL_BATCHES = ((320, 16), (640, 32))
"""Training images below which batches have this size, so that an epoch has more than a few steps."""
SMALL_EPOCHS = 20
IMBALANCE = 5.0
"""Largest class over smallest from which classes are drawn equally often."""
GRAY_SHARE, LONG_ASPECT = 0.9, 1.6
_MIN_HELD_OUT = 30
_GB = 1e9


def choices(facts: DataFacts) -> Iterator[Choice]:
    """Yield the keys that follow from the data, in the order of an experiment file."""
    yield from _splits(facts)
    yield from _stream(facts)
    yield from _shape(facts)
    yield from _transfer(facts)
    yield from _training(facts)
    yield from _imbalance(facts)


def notes(facts: DataFacts) -> Iterator[str]:
    """Yield what to know about the data that asks for no key."""
    images = facts.images
    yield _summary(facts)
    if facts.brought:
        counts = ", ".join(f"{split} {facts.total(split):,}" for split in facts.brought)
        yield f"Splits found in the data and kept: {counts}."
    small = [split for split in ("val", "test") if 0 < facts.total(split) < _MIN_HELD_OUT]
    if small:
        counts = " and ".join(f"{facts.total(split)} {split} images" for split in small)
        yield f"Only {counts}: expect wide confidence intervals."
    if _is_gray(facts):
        yield f"{images.gray} of {images.opened} opened images are gray: augmentation changes their brightness and contrast only."
    if 0 < images.short_px <= facts.model_px // 2:
        yield (
            f"Small images: the median shorter side is {images.short_px} px and the model's input is {facts.model_px} px. "
            "A smaller model.preprocess.image_px trains faster and loses little detail."
        )
    if images.unreadable:
        yield (
            f"{images.unreadable} of {images.opened} opened images cannot be decoded: `raytl check` lists all of them, and "
            "data.on_bad_image: skip leaves them out."
        )


def _summary(facts: DataFacts) -> str:
    total = sum(facts.total(split) for split in facts.counts)
    return f"{total:,} images of {len(facts.train)} classes, {facts.total('train'):,} of them for training."


def _splits(facts: DataFacts) -> Iterator[Choice]:
    for split in ("val", "test"):
        if split not in facts.brought:
            key = f"{split}_fraction"
            fraction = DataConfig.model_fields[key].default
            yield Choice(
                f"data.{key}", fraction, f"The data has no {split} split: {facts.total(split):,} images are held out."
            )


def _stream(facts: DataFacts) -> Iterator[Choice]:
    limit_gb = DataConfig.model_fields["pull_limit_gb"].default
    if facts.remote_bytes > limit_gb * _GB:
        size = f"{facts.remote_bytes / _GB:,.0f} GB"
        yield Choice(
            "data.stream", True, f"{size} are more than data.pull_limit_gb ({limit_gb:g}): fetched while training."
        )


def _shape(facts: DataFacts) -> Iterator[Choice]:
    aspect, crop = facts.images.aspect, facts.center_crop
    if aspect >= LONG_ASPECT and crop is not None and crop < 1:
        yield Choice(
            "model.preprocess.crop_fraction",
            1.0,
            f"Long images: the median aspect ratio is {aspect:.1f}, and the model sees the middle square. 1 keeps all of the "
            f"shorter side ({crop:.3g} by default); cut long images into tiles if their ends matter.",
        )


def _transfer(facts: DataFacts) -> Iterator[Choice]:
    train = facts.total("train")
    if train < PROBE_BELOW:
        why = f"Very few images ({train} for training): a linear probe, only the head learns."
        yield Choice("transfer.unfreeze", 0, why)
    elif train < LAST_STAGE_BELOW:
        yield Choice("transfer.unfreeze", 1, f"Few images ({train} for training): only the last stage learns.")
    elif train >= EVERYTHING_FROM or _is_gray(facts):
        why = (
            f"Many images ({train:,})"
            if train >= EVERYTHING_FROM
            else "Gray images are far from the photos of pretraining"
        )
        yield Choice("transfer.unfreeze", "all", f"{why}: every stage learns, the lower ones more slowly.")
        yield Choice("transfer.lr_decay", 0.8)
    else:
        why = f"{train:,} training images: the upper stages learn. `raytl tune` searches the depth."
        yield Choice("transfer.unfreeze", 2, why)


def _training(facts: DataFacts) -> Iterator[Choice]:
    train = facts.total("train")
    size = next((batch for bound, batch in SMALL_BATCHES if train < bound), None)
    if size is not None:
        steps = max(1, train // 64)
        why = f"Few images: batches of 64 would give {steps} step{'' if steps == 1 else 's'} an epoch."
        yield Choice("train.batch_size", size, why)
        yield Choice("train.epochs", SMALL_EPOCHS)


def _imbalance(facts: DataFacts) -> Iterator[Choice]:
    by_count = sorted(facts.train, key=lambda name: (facts.train[name], name))
    smallest, largest = by_count[0], by_count[-1]
    few, many = facts.train[smallest], facts.train[largest]
    if many >= IMBALANCE * max(few, 1):
        why = (
            f"Imbalance: {many:,} training images of {largest!r}, {few:,} of {smallest!r}. Draw all classes equally often "
            "(Buda et al. 2018)."
        )
        yield Choice("train.sampler", "balanced", why)


def _is_gray(facts: DataFacts) -> bool:
    images = facts.images
    return images.opened > 0 and images.gray >= GRAY_SHARE * images.opened
