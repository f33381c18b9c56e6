"""Champion and challenger on the same images: scores, a paired test, and the recall of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.draws import Groups
from raytl.metrics.paired import mcnemar, paired
from raytl.metrics.scores import facts, measure
from raytl.metrics.sign_flips import flipped, net_changes
from raytl.tasks.reporting import ComparedImage, Slice, TaskComparison

GATE_METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "log_loss")
_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
_MIN_NEW_IMAGES = 10
NEW_IMAGES = "new images"
Table = NDArray[np.float64]


def first_version(targets: NDArray[np.int64], new: Table, classes: Sequence[str]) -> TaskComparison:
    """Return the scores of a challenger without a champion, from its probabilities `(n, classes)`."""
    return TaskComparison(_metrics(targets, new), {}, None, (), _images(classes, targets, None, new))


def comparison(
    targets: NDArray[np.int64],
    old: Table,
    old_classes: Sequence[str],
    new: Table,
    classes: Sequence[str],
    fresh: NDArray[np.bool_],
    metric: str,
    confidence: float,
    groups: Groups | None = None,
) -> TaskComparison:
    """Compare probabilities of both models; `targets (n,)` are places in `classes`, those of the challenger."""
    old = align_classes(old, old_classes, classes)
    names = (*classes, *(name for name in old_classes if name not in classes))
    return TaskComparison(
        metrics=_metrics(targets, new),
        champion_metrics=_metrics(targets, old),
        paired=paired(targets, old, _pad_classes(new, old), metric, confidence=confidence, groups=groups),
        slices=slices_of(classes, targets, old, new, fresh, groups),
        images=_images(names, targets, old, new),
    )


def align_classes(table: Table, old_classes: Sequence[str], classes: Sequence[str]) -> Table:
    """Return the champion's probabilities with a column for each of `classes` (zeros if unknown to it), then its other ones."""
    columns: Mapping[str, Table] = {name: table[:, place] for place, name in enumerate(old_classes)}
    others = [name for name in old_classes if name not in classes]
    return np.stack([columns.get(name, np.zeros(len(table))) for name in (*classes, *others)], axis=1)


def _pad_classes(table: Table, other: Table) -> Table:
    return np.pad(table, ((0, 0), (0, other.shape[1] - table.shape[1])))


def _metrics(targets: NDArray[np.int64], table: Table) -> dict[str, float]:
    values = measure(facts(targets, table), np.arange(len(targets))[None])
    return {name: float(values[name][0]) for name in _SCORES}


def slices_of(
    classes: Sequence[str],
    targets: NDArray[np.int64],
    old: Table,
    new: Table,
    fresh: NDArray[np.bool_],
    groups: Groups | None = None,
) -> tuple[Slice, ...]:
    """Return the accuracy of both models (probabilities `(n, classes)`) on each class and on the `fresh` images."""
    before, after = old.argmax(1) == targets, new.argmax(1) == targets
    parts = [(name, targets == place, True) for place, name in enumerate(classes) if (targets == place).any()]
    if _MIN_NEW_IMAGES <= int(fresh.sum()) < len(fresh):
        parts.append((NEW_IMAGES, fresh, False))
    return tuple(
        _slice(name, before[rows], after[rows], is_class, None if groups is None else groups[rows])
        for name, rows, is_class in parts
    )


def _slice(
    name: str, before: NDArray[np.bool_], after: NDArray[np.bool_], is_class: bool, groups: Groups | None
) -> Slice:
    gained, lost = after & ~before, before & ~after
    counts = int(gained.sum()), int(lost.sum())
    _, worse = mcnemar(*counts) if groups is None else flipped(net_changes(gained, lost, groups))
    return Slice(name, len(before), float(before.mean()), float(after.mean()), *counts, worse, is_class)


def _images(
    names: Sequence[str], targets: NDArray[np.int64], old: Table | None, new: Table
) -> tuple[ComparedImage, ...]:
    """Return the predicted classes of both models for each image."""
    challenger = new.argmax(1)
    champion = [None] * len(new) if old is None else [names[place] for place in old.argmax(1)]
    correct = challenger == targets
    change = np.zeros(len(new), int) if old is None else correct.astype(int) - (old.argmax(1) == targets)
    return tuple(
        ComparedImage(before, names[after], float(confidence), int(gain))
        for before, after, confidence, gain in zip(champion, challenger, new.max(1), change, strict=True)
    )
