"""All sections of `raytl report`, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.assessment import calibration, prediction_sets, robustness, thresholds, unfamiliar
from raytl.assessment.section import Section
from raytl.errors import UserError
from raytl.tasks.task import Task

SECTIONS: tuple[Section, ...] = (
    calibration.SECTION,
    thresholds.SECTION,
    prediction_sets.SECTION,
    unfamiliar.SECTION,
    robustness.SECTION,
)
NEEDS_PHOTOS = frozenset({robustness.SECTION.name})
"""Sections that need the model's answers to corrupted validation photos; `--quick` leaves them out."""


def chosen(task: Task, names: Sequence[str] | None, quick: bool = False) -> tuple[Section, ...]:
    """Return the sections called `names`; None are all that apply to `task`, with `quick` those that need no photos.

    Raises:
        UserError: there is no such section, it does not apply to the task, or `quick` leaves it out.
    """
    available = [section.name for section in SECTIONS]
    wrong = [
        f"--sections {name}: no such section; expected {', '.join(available)}"
        for name in names or ()
        if name not in available
    ]
    wrong += [
        f"--sections {name}: this section does not apply to {task.name}; it applies to models with one class an image"
        for name in names or ()
        if name in available and name not in task.sections
    ]
    wrong += [
        f"--sections {name}: --quick leaves it out; drop one of them"
        for name in names or ()
        if quick and name in NEEDS_PHOTOS
    ]
    if not task.sections:
        wrong = wrong or [
            f"raytl report does not apply to {task.name}; its scores are in the report of `raytl evaluate`"
        ]
    if wrong:
        raise UserError("\n".join(wrong))
    applied = task.sections if names is None else names
    return tuple(each for each in SECTIONS if each.name in applied and not (quick and each.name in NEEDS_PHOTOS))
