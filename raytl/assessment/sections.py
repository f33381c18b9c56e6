"""All sections of `raytl report`, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from raytl.assessment import (
    calibration,
    fairness,
    groups,
    prediction_sets,
    robustness,
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
    robustness.SECTION,
)
NEEDS_PHOTOS = frozenset({robustness.SECTION.name})
"""Sections that need the model's answers to corrupted validation photos; `--quick` leaves them out."""


_ROLES: Mapping[str, ColumnRole] = {"fairness": "fairness", "groups": "group"}
"""The role of a column of the manifest that a section needs."""


def chosen(
    task: Task,
    names: Sequence[str] | None,
    columns: Mapping[str, ColumnRole] = MappingProxyType({}),
    quick: bool = False,
) -> tuple[Section, ...]:
    """Return the sections called `names`; None are all that apply to `task` and to the `columns` of the manifest, with `quick`
    those that need no photos.

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
    if names is None:
        names = [name for name in task.sections if name not in _ROLES or _ROLES[name] in columns.values()]
    left_out = NEEDS_PHOTOS if quick else ()
    return tuple(section for section in SECTIONS if section.name in names and section.name not in left_out)
