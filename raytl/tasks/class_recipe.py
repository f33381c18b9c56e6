"""What `recipe: auto` chooses for tasks that label whole images. Pure; each rule names its source.

The thresholds were set on small sets of six kinds (docs/transfer-learning.md has the table, `experiments.defaults` makes it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from raytl.config.choice import Choice
from raytl.tasks.recipe import AutoRecipe, RecipeFacts, epochs_for

BATCHES = ((48, 8), (400, 16), (2000, 32))
"""Training images below which a batch has this many; larger sets have batches of 64."""
STEPS, STEPS_GROWTH = 30, 0.4
"""Steps are `STEPS * images ** STEPS_GROWTH`: 110 for 25 images, 200 for 120, 360 for 500, 1,200 for 10,000."""
FEWEST_EPOCHS, MOST_EPOCHS = 5, 60
HEAD_ONLY_BELOW = 4
"""Training images a class below which only the head learns."""
IMBALANCE = 5.0
"""Largest class over smallest from which classes are drawn equally often."""
CHANGED, KEPT = 0.05, 0.4
"""P-values of a view: below the first it changes the meaning of images, from the second on (with enough images) it does not."""
ENOUGH_TO_TELL = 100
"""Measured images from which a view that costs no accuracy may be drawn in training."""
KEYS = (
    "transfer.unfreeze",
    "transfer.lr_decay",
    "transfer.head_lr_ratio",
    "transfer.head_start",
    "transfer.head_first",
    "optim.lr",
    "optim.warmup",
    "optim.ema",
    "train.batch_size",
    "train.epochs",
    "train.early_stop",
    "train.label_smoothing",
    "train.sampler",
    "augment.strength",
    "augment.hflip",
    "augment.vflip",
    "augment.rotate90",
)


def choose(facts: RecipeFacts) -> tuple[Choice, ...]:
    """Return the keys for sets of labeled images, in the order of an experiment file."""
    length = tuple(_length(facts))
    epochs = int(facts.given.get("train.epochs", dict((one.key, one.value) for one in length)["train.epochs"]))
    return (*_depth(facts), *_head(facts, epochs), *length, *_rates(facts, epochs), *_augment(facts), *_balance(facts))


CLASS_RECIPE = AutoRecipe(frozenset(KEYS), choose)


def _length(facts: RecipeFacts) -> Iterator[Choice]:
    """Yield the batch and the epochs; the budget is steps, as in BiT's rule (Kolesnikov et al. 2020)."""
    images = facts.train
    smallest = facts.workers * facts.accumulate * (2 if facts.batchnorm else 1)
    size = next((batch for bound, batch in BATCHES if images < bound), 64)
    size = max(size, smallest)
    yield Choice("train.batch_size", size, f"{images:,} training images.")
    batch = int(facts.given.get("train.batch_size", size))
    steps = round(STEPS * max(1, images) ** STEPS_GROWTH)
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, epochs_for(steps, images, batch)))
    epochs += int(facts.given.get("transfer.head_first", 0))
    yield Choice(
        "train.epochs",
        epochs,
        f"{images:,} training images need about {steps:,} steps, whatever an epoch is (BiT, Kolesnikov et al. 2020).",
    )
    total = int(facts.given.get("train.epochs", epochs))
    yield Choice(
        "train.early_stop",
        max(4, math.ceil(total / 3)),
        "The rates fall to the end, so the best epoch comes late; a third of the run without a better one ends it.",
    )


def _depth(facts: RecipeFacts) -> Iterator[Choice]:
    """Yield the stages that learn: by the size of the set and its distance from the source (Yosinski et al. 2014)."""
    if facts.per_class < HEAD_ONLY_BELOW:
        yield Choice(
            "transfer.unfreeze",
            0,
            f"{facts.per_class:.1f} training images a class: too few for more than the head (feature extraction).",
        )
        return
    yield Choice("transfer.unfreeze", "all", f"{_distance(facts)} Every stage learns, the lower ones more slowly.")
    yield Choice("transfer.lr_decay", 0.8, "Layer-wise decay (Howard & Ruder 2018; Clark et al. 2020).")


def _distance(facts: RecipeFacts) -> str:
    frozen = facts.frozen
    if frozen is None:
        return f"{facts.per_class:.0f} training images a class."
    return (
        f"{facts.per_class:.0f} training images a class; frozen features separate them to {100 * frozen.accuracy:.0f} % "
        f"(chance {100 * frozen.chance:.0f} %)."
    )


def _head(facts: RecipeFacts, epochs: int) -> Iterator[Choice]:
    """Yield the start of the head: it learns before the stages do, which keeps their features (LP-FT, Kumar et al. 2022)."""
    if facts.given.get("transfer.unfreeze") == 0 or facts.per_class < HEAD_ONLY_BELOW:
        yield Choice("transfer.head_start", "solved", "Only the head learns, and its optimum is known in closed form.")
        return
    first = min(epochs - 1, max(1, round(epochs / 8)))
    yield Choice("transfer.head_first", first, "The head first, then the stages (LP-FT, Kumar et al. 2022).")


def _rates(facts: RecipeFacts, epochs: int) -> Iterator[Choice]:
    """Yield the learning rates and the warm-up."""
    yield Choice("optim.lr", 1e-3)
    yield Choice("transfer.head_lr_ratio", 3.0 if facts.convolutional else 10.0, "")
    yield Choice("optim.warmup", min(1.0, epochs / 10))
    yield Choice("train.label_smoothing", 0.1)


def _augment(facts: RecipeFacts) -> Iterator[Choice]:
    """Yield the views that keep the meaning of the images, as far as the measurement can tell."""
    frozen = facts.frozen
    if frozen is None:
        return
    effect = frozen.views["hflip"]
    if effect.p_value < CHANGED:
        yield Choice(
            "augment.hflip", False, f"Mirrored, {effect.lost} of {frozen.images} images lose their class and {effect.gained} gain it."
        )
    for name, words in (("vflip", "Upside down"), ("rotate90", "Turned by 90 degrees")):
        effect = frozen.views[name]
        if frozen.images >= ENOUGH_TO_TELL and effect.p_value >= KEPT:
            yield Choice(
                f"augment.{name}", True, f"{words}, {effect.lost} of {frozen.images} images lose their class and {effect.gained} gain it."
            )


def _balance(facts: RecipeFacts) -> Iterator[Choice]:
    by_count = sorted(facts.counts, key=lambda name: (facts.counts[name], name))
    if not by_count:
        return
    few, many = facts.counts[by_count[0]], facts.counts[by_count[-1]]
    weighted: Any = facts.given.get("train.class_weights", "none")
    if many >= IMBALANCE * max(few, 1) and weighted == "none":
        yield Choice(
            "train.sampler",
            "balanced",
            f"{many:,} training images of {by_count[-1]!r}, {few:,} of {by_count[0]!r}: all classes are drawn equally often "
            "(Buda et al. 2018).",
        )
