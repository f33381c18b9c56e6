"""All sections of `raytl report`, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from raytl.assessment import (
    calibration,
    fairness,
    groups,
    prediction_sets,
    shortcuts,
    slices,
    suspects,
    thresholds,
    unfamiliar,
)
from raytl.assessment.section import Section
from raytl.config.schema import ColumnRole
from raytl.errors import UserError
from raytl.tasks.task import Task

SECTIONS: tuple[Section, ...] = (
    calibration.SECTION,
    thresholds.SECTION,
    prediction_sets.SECTION,
    unfamiliar.SECTION,
    slices.SECTION,
    fairness.SECTION,
    groups.SECTION,
    shortcuts.SECTION,
    suspects.SECTION,
)


_ROLES: Mapping[str, ColumnRole] = {"fairness": "fairness", "groups": "group"}
"""The role of a column of the manifest that a section needs."""


def chosen(
    task: Task, names: Sequence[str] | None, columns: Mapping[str, ColumnRole] = MappingProxyType({})
) -> tuple[Section, ...]:
    """Return the sections called `names`; None are all that apply to `task` and to the `columns` of the manifest.

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
    if names is None:
        names = [name for name in task.sections if name not in _ROLES or _ROLES[name] in columns.values()]
    return tuple(section for section in SECTIONS if section.name in names)
