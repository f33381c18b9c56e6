"""All sections of `raytl report`, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.assessment import calibration, prediction_sets, thresholds, unfamiliar
from raytl.assessment.section import Section
from raytl.errors import UserError
from raytl.tasks.task import Task

SECTIONS: tuple[Section, ...] = (
    calibration.SECTION,
    thresholds.SECTION,
    prediction_sets.SECTION,
    unfamiliar.SECTION,
)


def chosen(task: Task, names: Sequence[str] | None, *, has_aims: bool = False) -> tuple[Section, ...]:
    """Return the sections called `names`; None are all that apply to `task`. With aims, the section that checks them is needed.

    Raises:
        UserError: there is no such section, it does not apply to the task, or aims would not be checked.
    """
    available = [section.name for section in SECTIONS]
    wrong = [
        f"--sections {name!r}: no such section; expected {', '.join(available)}"
        for name in names or ()
        if name not in available
    ]
    wrong += [
        f"--sections {name!r}: this section does not apply to {task.name}; it applies to models with one class an image"
        for name in names or ()
        if name in available and name not in task.sections
    ]
    if not task.sections:
        wrong = wrong or [
            f"raytl report does not apply to {task.name}; its scores are in the report of `raytl evaluate`"
        ]
    if has_aims and names is not None and thresholds.SECTION.name not in names:
        wrong.append(
            f"--require, --recall: they need the section {thresholds.SECTION.name}, and --sections leaves it out; "
            "expected it among the sections. Add it, or remove the aims"
        )
    if wrong:
        raise UserError("\n".join(wrong))
    return tuple(section for section in SECTIONS if section.name in (task.sections if names is None else names))
