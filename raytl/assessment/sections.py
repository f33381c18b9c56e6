"""All sections of `raytl report`, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

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
from raytl.assessment.findings import calibration as finding_calibration
from raytl.assessment.findings import context, pixels
from raytl.assessment.findings import fairness as finding_fairness
from raytl.assessment.findings import robustness as finding_robustness
from raytl.assessment.findings import sizes as finding_sizes
from raytl.assessment.findings import slices as finding_slices
from raytl.assessment.findings import suspects as finding_suspects
from raytl.assessment.findings import thresholds as finding_thresholds
from raytl.assessment.findings import unfamiliar as finding_unfamiliar
from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.section import Evidence, Section
from raytl.config.schema import ColumnRole
from raytl.data.bit_depth import RGB
from raytl.errors import UserError
from raytl.tasks.findings import finding_kind
from raytl.tasks.task import Task

SECTIONS: tuple[Section[Evidence], ...] = (
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
FINDING_SECTIONS: tuple[Section[FindingEvidence], ...] = (
    finding_calibration.SECTION,
    finding_thresholds.SECTION,
    pixels.SECTION,
    finding_sizes.SECTION,
    finding_unfamiliar.SECTION,
    finding_slices.SECTION,
    finding_fairness.SECTION,
    context.SECTION,
    finding_suspects.SECTION,
    finding_robustness.SECTION,
)
"""Those of tasks with findings, under the same names where they answer the same question."""
NEEDS_PHOTOS = frozenset({robustness.SECTION.name})
"""Sections that need the model's answers to corrupted validation photos; `--quick` leaves them out."""
NEEDS_RGB = frozenset({robustness.SECTION.name, shortcuts.SECTION.name})
"""Sections whose corruptions and ablations are defined for RGB photos; models of other channels have none of them."""


_ROLES: Mapping[str, ColumnRole] = {"fairness": "fairness", "groups": "group"}
"""The role of a column of the manifest that a section needs."""


def chosen(
    task: Task,
    names: Sequence[str] | None,
    columns: Mapping[str, ColumnRole] = MappingProxyType({}),
    quick: bool = False,
    channels: int = RGB,
) -> tuple[Section[Any], ...]:
    """Return the sections called `names`; None are all that apply to `task`, to the `columns` of the manifest and to images of so
    many `channels`, with `quick` those that need no photos.

    Raises:
        UserError: there is no such section, it does not apply to the task, or `quick` leaves it out.
    """
    every: tuple[Section[Any], ...] = (*SECTIONS, *FINDING_SECTIONS)
    available = list(dict.fromkeys(section.name for section in every))
    wrong = [
        f"--sections {name!r}: no such section; expected {', '.join(available)}"
        for name in names or ()
        if name not in available
    ]
    wrong += [
        f"--sections {name!r}: this section does not apply to {task.name}; expected {', '.join(task.sections) or 'no section'}"
        for name in names or ()
        if name in available and name not in task.sections
    ]
    wrong += [
        f"--sections {name}: --quick leaves it out; drop one of them"
        for name in names or ()
        if quick and name in NEEDS_PHOTOS
    ]
    wrong += [
        f"--sections {name}: its corruptions are those of RGB photos; expected a model of 3 channels, and this one has {channels}"
        for name in names or ()
        if channels != RGB and name in NEEDS_RGB
    ]
    if not task.sections:
        wrong = wrong or [
            f"raytl report does not apply to {task.name}; its scores are in the report of `raytl evaluate`"
        ]
    if wrong:
        raise UserError("\n".join(wrong))
    if names is None:
        names = [name for name in task.sections if name not in _ROLES or _ROLES[name] in columns.values()]
    left_out = (NEEDS_PHOTOS if quick else frozenset()) | (NEEDS_RGB if channels != RGB else frozenset())
    sections: Sequence[Section[Any]] = SECTIONS if finding_kind(task) is None else FINDING_SECTIONS
    return tuple(section for section in sections if section.name in names and section.name not in left_out)


def check_aims(task: Task, parts: Sequence[Section[Any]], texts: Sequence[str]) -> None:
    """Check that the section that checks aims is among `parts` if there are any.

    Raises:
        UserError: it is not, so that the aims would not be checked.
    """
    if texts and thresholds.SECTION.name not in task.sections:
        raise UserError(f"--require, --recall: no section checks aims of {task.name}; expected none. Remove them")
    if texts and all(part.name != thresholds.SECTION.name for part in parts):
        raise UserError(
            f"--require, --recall: found aims, and --sections without {thresholds.SECTION.name}; expected the section that "
            "checks them. Add it, or remove the aims"
        )
