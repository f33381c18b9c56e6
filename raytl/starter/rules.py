"""From facts about the data to the keys that matter for it, each with its reason. Pure.

How to train is left to `recipe: auto`, which sees more of the data (`raytl.tasks.recipe`); here are the keys that say which
images are used and how they are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from raytl.config.choice import Choice
from raytl.config.schema import DataConfig

if TYPE_CHECKING:
    from raytl.data.object_counts import ObjectCounts
    from raytl.starter.facts import DataFacts

GRAY_SHARE, LONG_ASPECT = 0.9, 1.6
FRAME_LIMIT_PX = 512
"""Longer side of the frame for larger images."""
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
    if _has_frame(facts):
        yield from _frame(facts)


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
    if 0 < images.short_px <= facts.model_px // 2 and not _has_frame(facts):
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


def _has_frame(facts: DataFacts) -> bool:
    """Return whether the task fits whole images into a frame."""
    return facts.center_crop is None and "transfer.unfreeze" in facts.defaults


def _is_gray(facts: DataFacts) -> bool:
    images = facts.images
    return images.opened > 0 and images.gray >= GRAY_SHARE * images.opened
