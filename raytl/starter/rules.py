"""From facts about the data to the keys that matter for it, each with its reason. Pure.

The size and distance rules are those of docs/transfer-learning.md; the thresholds are rules of thumb, and `raytl tune`
finds better values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from raytl.config.schema import DataConfig
from raytl.starter.draft import Choice

if TYPE_CHECKING:
    from raytl.data.object_counts import ObjectCounts
    from raytl.starter.facts import DataFacts

PROBE_BELOW, LAST_STAGE_BELOW, EVERYTHING_FROM = 50, 200, 20_000
"""Training images below which only the head learns, below which only the last stage does, and from which all stages do."""
SMALL_BATCHES = ((320, 16), (640, 32))
"""Training images below which batches have this size, so that an epoch has more than a few steps."""
SMALL_EPOCHS = 20
IMBALANCE = 5.0
"""Largest class over smallest from which classes are drawn equally often."""
GRAY_SHARE, LONG_ASPECT = 0.9, 1.6
FRAME_LIMIT_PX = 512
"""Longer side of the frame for larger images."""
MANY_SCENES = 3000
"""Training images from which the epochs of a task's recipe are reduced in proportion."""
_FEWEST_EPOCHS = 6
_FRAME_STEP_PX = 32
_LISTED = 8
_MIN_HELD_OUT = 30
_GB = 1e9


def choices(facts: DataFacts) -> Iterator[Choice]:
    """Yield the keys that follow from the data, in the order of an experiment file."""
    yield from _task(facts)
    yield from _splits(facts)
    yield from _stream(facts)
    yield from _shape(facts)
    if _has_recipe(facts):
        yield from _frame(facts)
        yield from _recipe(facts)
    else:
        yield from _transfer(facts)
        yield from _training(facts)
    if facts.task is None:
        yield from _imbalance(facts)


def notes(facts: DataFacts) -> Iterator[str]:
    """Yield what to know about the data that asks for no key."""
    images = facts.images
    yield _summary(facts)
    if facts.objects is not None:
        yield _objects(facts.objects)
    if facts.brought:
        counts = ", ".join(f"{split} {facts.total(split):,}" for split in facts.brought)
        yield f"Splits found in the data and kept: {counts}."
    small = [split for split in ("val", "test") if 0 < facts.total(split) < _MIN_HELD_OUT]
    if small:
        counts = " and ".join(f"{facts.total(split)} {split} images" for split in small)
        yield f"Only {counts}: expect wide confidence intervals."
    if _is_gray(facts):
        yield f"{images.gray} of {images.opened} opened images are gray: augmentation changes their brightness and contrast only."
    if 0 < images.short_px <= facts.model_px // 2 and not _has_recipe(facts):
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
    classes = f"{len(facts.train)} class{'' if len(facts.train) == 1 else 'es'}"
    return f"{total:,} images of {classes}, {facts.total('train'):,} of them for training."


def _objects(counts: ObjectCounts) -> str:
    by_class = ", ".join(f"{name} {count:,}" for name, count in Counter(counts.classes).most_common(_LISTED))
    more = len(counts.classes) - _LISTED
    by_size = ", ".join(f"{count:,} {size}" for size, count in counts.sizes.items())
    names = f"{by_class} and {more} more classes" if more > 0 else by_class
    empty = f" {counts.empty:,} images have none." if counts.empty else ""
    return f"Objects for training: {names}. By size: {by_size}.{empty}"


def _task(facts: DataFacts) -> Iterator[Choice]:
    if facts.task is not None:
        yield Choice("task", facts.task, f"The images are annotated with {facts.annotated}.")


def _frame(facts: DataFacts) -> Iterator[Choice]:
    """Yield the frame into which images are fitted: as large as the usual image, up to a limit."""
    width, height = facts.images.width_px, facts.images.height_px
    if not width:
        return
    scale = min(1.0, FRAME_LIMIT_PX / max(width, height))
    frame = [-(-round(side * scale) // _FRAME_STEP_PX) * _FRAME_STEP_PX for side in (width, height)]
    yield Choice(
        "model.preprocess.image_px",
        frame,
        f"The usual image is {width} x {height} px. Images are fitted whole into this frame of [width, height]; a larger one "
        "shows smaller details, a smaller one trains faster.",
    )


def _recipe(facts: DataFacts) -> Iterator[Choice]:
    """Yield the keys of the task's own recipe that a user is most likely to change."""
    train = facts.total("train")
    yield Choice(
        "transfer.unfreeze", facts.defaults["transfer.unfreeze"], "The recipe of the task. `raytl tune` searches it."
    )
    yield Choice("train.batch_size", facts.defaults["train.batch_size"])
    epochs = facts.defaults["train.epochs"]
    if train >= MANY_SCENES:
        epochs = max(_FEWEST_EPOCHS, epochs * MANY_SCENES // train)
    yield Choice("train.epochs", epochs, f"{train:,} training images.")


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


def _has_recipe(facts: DataFacts) -> bool:
    """Return whether the task has a recipe of its own, with images fitted into a frame."""
    return "transfer.unfreeze" in facts.defaults


def _is_gray(facts: DataFacts) -> bool:
    images = facts.images
    return images.opened > 0 and images.gray >= GRAY_SHARE * images.opened
