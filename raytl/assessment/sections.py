"""All sections of `raytl report`, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.assessment import calibration
from raytl.assessment.section import Section
from raytl.errors import UserError
from raytl.tasks.task import Task

SECTIONS: tuple[Section, ...] = (calibration.SECTION,)


def chosen(task: Task, names: Sequence[str] | None) -> tuple[Section, ...]:
    """Return the sections called `names`; None are all that apply to `task`.

    Raises:
        UserError: there is no such section, or it does not apply to the task.
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
    if not task.sections:
        wrong = wrong or [
            f"raytl report does not apply to {task.name}; its scores are in the report of `raytl evaluate`"
        ]
    if wrong:
        raise UserError("\n".join(wrong))
    return tuple(section for section in SECTIONS if section.name in (task.sections if names is None else names))
