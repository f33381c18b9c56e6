"""The choices of `recipe: auto` for tasks that label whole images. Pure; each rule names its source.

The numbers were set on small sets of six kinds (docs/transfer-learning.md has the table, `experiments.defaults` makes it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from raytl.config.choice import Choice
from raytl.models.frozen import ViewEffect
from raytl.tasks.recipe import AutoRecipe, RecipeFacts, epochs_for

BATCHES = ((48, 8), (400, 16), (2000, 32))
"""Training images below which a batch has this many; larger sets have batches of 64."""
STEPS, STEPS_GROWTH = 30, 0.4
"""Steps are `STEPS * images ** STEPS_GROWTH`: 110 for 25 images, 200 for 120, 360 for 500, 1,200 for 10,000."""
FEWEST_EPOCHS, MOST_EPOCHS = 5, 60
FROZEN_STATISTICS_BELOW = 5000
"""Training images below which BatchNorm keeps the statistics of the pretrained network."""
HEAD_FIRST = 1 / 8
"""Fraction of the epochs in which only the head learns."""
AVERAGED, FEWEST_AVERAGED = 10, 50
"""The average of the weights spans the run over the first, in runs of at least so many steps as the second."""
IMBALANCE = 5.0
"""Largest class over smallest from which classes are drawn equally often."""
CHANGED, UNCHANGED = 0.05, 0.4
"""P-values of a view: below the first it changes what images mean; from the second on it does not."""
ENOUGH_TO_TELL = 100
"""Measured images below which no view counts as harmless."""
VIEWS = ("augment.hflip", "augment.vflip", "augment.rotate90")
"""Keys that are chosen from measured features only."""
KEYS = (
    "model.batch_norm",
    "transfer.unfreeze",
    "transfer.lr_decay",
    "transfer.head_lr_ratio",
    "transfer.head_first",
    *VIEWS,
    "optim.lr",
    "optim.warmup",
    "optim.ema",
    "train.batch_size",
    "train.epochs",
    "train.early_stop",
    "train.label_smoothing",
    "train.sampler",
)


def choose(facts: RecipeFacts) -> tuple[Choice, ...]:
    """Return the keys for sets of labeled images, in the order of an experiment file."""
    length = tuple(_length(facts))
    chosen = {choice.key: choice.value for choice in length} | dict(facts.given)
    epochs, batch = int(chosen["train.epochs"]), int(chosen["train.batch_size"])
    transfer = _transfer(facts, epochs) if facts.pretrained else _from_scratch()
    steps = epochs * -(-facts.train // batch)
    return (*transfer, *_augment(facts), *_rates(epochs), *_average(steps), *length, *_balance(facts))


CLASS_RECIPE = AutoRecipe(frozenset(KEYS), choose, VIEWS)


def _length(facts: RecipeFacts) -> Iterator[Choice]:
    """Yield the batch and the epochs. The budget is steps, as in BiT's rule (Kolesnikov et al. 2020)."""
    images, given = facts.train, facts.given
    smallest = facts.workers * facts.accumulate * (2 if facts.batchnorm else 1)
    size = max(smallest, next((batch for bound, batch in BATCHES if images < bound), 64))
    while (
        images // -(-images // size) < smallest and size < images
    ):  # batches are near-equal, so smaller than their limit
        size += 1
    yield Choice("train.batch_size", size, f"Fits {images:,} training images on {_plural(facts.workers, 'worker')}.")
    steps = round(STEPS * max(1, images) ** STEPS_GROWTH)
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, epochs_for(steps, images, int(given.get("train.batch_size", size)))))
    epochs += int(given.get("transfer.head_first", 0))
    why = f"{images:,} training images need about {steps:,} steps, however many an epoch has (BiT, Kolesnikov et al. 2020)."
    if epochs < (opened := _epochs_to_open(facts)):
        epochs, why = opened, "As many as gradual unfreezing needs to open every stage (transfer.gradual)."
    yield Choice("train.epochs", epochs, why)
    total = int(given.get("train.epochs", epochs))
    yield Choice(
        "train.early_stop", max(4, math.ceil(total / 3)), "The rates fall to the end, so the best epoch comes late."
    )


def _epochs_to_open(facts: RecipeFacts) -> int:
    """Return the epochs after which gradual unfreezing has opened every stage that learns, and trained the last one; else 0."""
    depth = facts.given.get("transfer.unfreeze", "all")
    if not facts.given.get("transfer.gradual"):
        return 0
    opening = (facts.stages if depth == "all" else int(depth)) * int(facts.given.get("transfer.gradual_every", 1))
    if "transfer.head_first" in facts.given:
        return opening + int(facts.given["transfer.head_first"])
    return math.ceil(opening / (1 - HEAD_FIRST)) + 1


def _from_scratch() -> Iterator[Choice]:
    why = "Random weights: everything learns from the start, at one rate."
    yield Choice("transfer.unfreeze", "all", why)
    yield Choice("transfer.lr_decay", 1.0, why)
    yield Choice("transfer.head_lr_ratio", 1.0, why)
    yield Choice("transfer.head_first", 0, why)


def _transfer(facts: RecipeFacts, epochs: int) -> Iterator[Choice]:
    """Yield what learns: every stage, the lower the slower, after the head (LP-FT, Kumar et al. 2022)."""
    if facts.batchnorm and facts.train < FROZEN_STATISTICS_BELOW:
        yield Choice(
            "model.batch_norm",
            "frozen",
            f"Batches of few of the {facts.train:,} images give poor statistics (Wu & Johnson 2021); the pretrained ones stay.",
        )
    yield Choice("transfer.unfreeze", "all", f"{_distance(facts)}: every stage learns, the lower the slower.")
    yield Choice("transfer.lr_decay", 0.8, "A stage's rate over that of the stage above (ULMFiT, Howard & Ruder 2018).")
    ratio = 3.0 if facts.convolutional else 5.0
    kind = "Convolutional networks bear larger" if facts.convolutional else "Transformers need smaller"
    yield Choice("transfer.head_lr_ratio", ratio, f"{kind} steps in their stages.")
    if facts.given.get("transfer.head_start", "zero") == "zero":
        first = min(epochs - 1, max(1, round(epochs * HEAD_FIRST)))
        why = "The head learns first, so that it does not distort the features (LP-FT, Kumar et al. 2022)."
    else:
        first, why = 0, "The head does not start from zero."
    yield Choice("transfer.head_first", first, why)


def _distance(facts: RecipeFacts) -> str:
    images = f"{facts.per_class:.3g} training images a class"
    frozen = facts.frozen
    if frozen is None:
        return images
    return f"{images}, of which frozen features tell {100 * frozen.accuracy:.0f} % (chance {100 * frozen.chance:.0f} %)"


def _rates(epochs: int) -> Iterator[Choice]:
    """Yield the learning rate of the head, its warm-up, and what keeps it from certainty."""
    yield Choice("optim.lr", 1e-3, "The head's rate for AdamW.")
    yield Choice("optim.warmup", min(1.0, epochs / 10), "At most a tenth of the run.")
    yield Choice("train.label_smoothing", 0.1, "Few labels are learned by heart soon (Szegedy et al. 2016).")


def _average(steps: int) -> Iterator[Choice]:
    """Yield an average of the weights over the last steps, which damps the noise of small batches."""
    if steps >= FEWEST_AVERAGED:
        decay = round(min(0.999, 1 - AVERAGED / steps), 3)
        yield Choice(
            "optim.ema", decay, f"Averages about {steps // AVERAGED} of {steps:,} steps (Polyak & Juditsky 1992)."
        )


def _augment(facts: RecipeFacts) -> Iterator[Choice]:
    """Yield the views that keep the meaning of the images, as far as the frozen features can tell."""
    if facts.frozen is None:
        return
    images, views = facts.frozen.images, facts.frozen.views
    if views["hflip"].p_value < CHANGED:
        yield Choice("augment.hflip", False, _effect("Mirrored", views["hflip"], images))
    for name, words in (("vflip", "Upside down"), ("rotate90", "Turned by 90 degrees")):
        if images >= ENOUGH_TO_TELL and views[name].p_value >= UNCHANGED:
            yield Choice(f"augment.{name}", True, _effect(words, views[name], images))


def _effect(words: str, effect: ViewEffect, images: int) -> str:
    return f"{words}, {effect.lost} of {images} images are no longer recognized, and {effect.gained} only then."


def _balance(facts: RecipeFacts) -> Iterator[Choice]:
    """Yield balanced sampling for unequal classes (Buda et al. 2018)."""
    by_count = sorted(facts.counts, key=lambda name: (facts.counts[name], name))
    weights: Any = facts.given.get("train.class_weights", "none")
    if not by_count or weights != "none":
        return
    few, many = facts.counts[by_count[0]], facts.counts[by_count[-1]]
    if many >= IMBALANCE * max(few, 1):
        why = f"{many:,} training images of {by_count[-1]!r}, {few:,} of {by_count[0]!r} (Buda et al. 2018)."
        yield Choice("train.sampler", "balanced", why)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
