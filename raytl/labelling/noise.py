"""`labels.noise`: list the doubtful labels of the training images, or leave those images out. No label is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from raytl.data.manifest import listed
from raytl.labelling.change import Reason, TrainChange
from raytl.labelling.copies import photo_groups
from raytl.labelling.doubtful import Doubts, doubts, spared
from raytl.labelling.reviewed import reviewed_keys

if TYPE_CHECKING:
    from raytl.labelling.changes import LabelInputs


def leave_out_noise(inputs: LabelInputs, value: Literal["rank", "leave_out"], change: TrainChange) -> TrainChange:
    """Return the change with the doubtful labels of the training images, and with these left out if `value` is leave_out."""
    train = change.applied(inputs.train)
    solver = inputs.task.head_solver
    assert solver is not None and solver.targets_of is not None, "checked by `Task.check`"
    targets = solver.targets_of(train, inputs.classes)
    groups = photo_groups(inputs.experiment, train, inputs.backbone.preprocess.bit_depth, inputs.on_event)
    seed = inputs.experiment.train.seed
    result = doubts([inputs.features(train)], train, targets, inputs.classes, groups, seed, inputs.on_event)
    reviewed = reviewed_keys(inputs.experiment)
    result = replace(result, listed=tuple(each for each in result.listed if each.key not in reviewed))
    out = spared(result.listed, targets, inputs.classes) if value == "leave_out" else ()
    return replace(
        change,
        left_out=change.left_out | {each.key for each in out},
        reasons={
            **change.reasons,
            **{each.key: Reason("labels.noise: leave_out", 1 - each.probability) for each in out},
        },
        doubtful=result.listed,
        notes=(*change.notes, *_notes(result, len(out), value)),
    )


def _notes(result: Doubts, left_out: int, value: str) -> tuple[str, ...]:
    notes = [f"labels.noise: {value}: {result.sentence}"]
    if value == "leave_out" and result.trusted:
        notes.append(
            f"labels.noise: {left_out:,} of {result.images:,} training images are left out; `raytl labels` shows them"
        )
    if result.unjudged:
        names = listed([repr(name) for name in result.unjudged], 5)
        notes.append(f"labels.noise: classes with too few images to judge their labels:\n{names}")
    return tuple(notes)
