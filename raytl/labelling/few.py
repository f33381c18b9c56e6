"""The step `few.method`: images of `data.unlabelled` become training images with the labels that a method gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from raytl.config.fixmatch import FIXMATCH
from raytl.data.group_split import group_columns, kept_together
from raytl.data.manifest import Sample
from raytl.errors import ConfigError
from raytl.labelling.change import Reason, TrainChange
from raytl.labelling.choose import Labelled, choose, given_labels
from raytl.labelling.confident import GivenLabels

if TYPE_CHECKING:
    from raytl.labelling.changes import LabelInputs


def label_few(inputs: LabelInputs, method: str, change: TrainChange) -> TrainChange:
    """Return the change with images of `data.unlabelled`, labelled by `method`; `auto` may add none.

    Raises:
        ConfigError: the task has no frozen features with one class an image, or no image reaches `few.min_confidence`.
        DataError: see `read_source`.
    """
    if method == FIXMATCH:  # in each step of training
        return change
    few, classes = inputs.experiment.few, inputs.classes
    train = change.applied(inputs.train)
    labelled = _labelled(inputs, train)
    unlabelled = inputs.unlabelled
    others = inputs.features(unlabelled.samples).numpy()
    notes = list(unlabelled.notes)
    is_auto = method == "auto"
    if is_auto:
        val = _labelled(inputs, inputs.val)
        seed = inputs.experiment.train.seed
        chosen = choose(labelled, val, others, len(classes), few.fraction, few.min_confidence, seed)
        notes.append(f"few.method auto: {chosen.text}")
        method = chosen.method
    if method == "none":
        return replace(change, notes=(*change.notes, *notes))
    given = given_labels(method, labelled, others, len(classes), few.fraction, few.min_confidence)
    if not len(given) and not is_auto:
        raise ConfigError(
            f"few.min_confidence: no label that few.method {method} gives reaches {few.min_confidence:g}; expected some of "
            f"{len(others)} images. Lower it, or set few.method to none"
        )
    notes.append(_note(method, given, len(others), classes))
    return _changed(change, unlabelled.samples, given, classes, f"few.method: {method}", notes)


def _labelled(inputs: LabelInputs, samples: Sequence[Sample]) -> Labelled:
    solver = inputs.task.head_solver
    if solver is None or solver.targets_of is None:
        raise ConfigError(f"few.method: task {inputs.experiment.task} has no single class an image; set it to none")
    groups = kept_together(samples, group_columns(inputs.experiment.data.columns))
    return Labelled(inputs.features(samples).numpy(), solver.targets_of(samples, inputs.classes), np.asarray(groups))


def _changed(
    change: TrainChange,
    samples: Sequence[Sample],
    given: GivenLabels,
    classes: Sequence[str],
    by: str,
    notes: Sequence[str],
) -> TrainChange:
    names = [classes[index] for index in given.classes.tolist()]
    added = [replace(samples[row], target=name) for row, name in zip(given.rows.tolist(), names, strict=True)]
    reasons = {
        sample.key: Reason(by, round(confidence, 4))
        for sample, confidence in zip(added, given.confidence.tolist(), strict=True)
    }
    return replace(
        change,
        added=[*change.added, *added],
        notes=(*change.notes, *notes),
        reasons={**change.reasons, **reasons},
    )


def _note(method: str, given: GivenLabels, total: int, classes: Sequence[str]) -> str:
    counts = Counter(classes[index] for index in given.classes.tolist())
    by_class = ", ".join(f"{name} {count}" for name, count in counts.most_common(10))
    more = f" and {len(counts) - 10} more classes" if len(counts) > 10 else ""
    return f"few.method {method}: {len(given)} of {total} unlabelled images join the training images: {by_class}{more}"
