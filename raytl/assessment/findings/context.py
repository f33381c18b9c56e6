"""Section: does the model take one label for a sign of another?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.section import Options, SectionResult, Table
from raytl.assessment.texts import p_phrase, p_text, percent
from raytl.metrics.label_context import Dependence, dependences, presence
from raytl.metrics.slices import MIN_IMAGES

_HEAD = ("label", "error", "on validation", "otherwise", "on test", "otherwise on test", "p (Holm)", "confirmed")


class ContextSection:
    """See `raytl.assessment.section.Section`."""

    name = "context"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the labels whose errors depend on another label, on validation and confirmed on test."""
        val, test = (presence(split.findings, len(evidence.classes)) for split in (evidence.val, evidence.test))
        listed, compared = dependences(val, test)
        return SectionResult(
            title="Co-occurrence: does it take one label for a sign of another?",
            sentences=tuple(_sentences(listed, compared, evidence.classes)),
            tables=(_table(listed, evidence.classes),) if listed else (),
            json={"compared": compared, "pairs": [_plain(each, evidence.classes) for each in listed]},
        )


SECTION = ContextSection()


def _sentences(listed: Sequence[Dependence], compared: int, classes: Sequence[str]) -> Iterator[str]:
    if not compared:
        yield f"Too few images to compare: no pair of labels has {MIN_IMAGES} validation images with and without the other."
        return
    confirmed = [each for each in listed if each.is_confirmed]
    for each in confirmed:
        label, other = classes[each.label], classes[each.other]
        rates = f"{percent(each.test.error_rate)} of {each.test.images:,}", percent(each.test.other_error_rate)
        yield (
            f"{label!r} is missed more often without {other!r}: {rates[0]} test images, {rates[1]} with it ({p_phrase(each.p_test)})."
            if each.kind == "missed without"
            else f"{label!r} is reported falsely more often beside {other!r}: {rates[0]} test images, {rates[1]} without it ("
            f"{p_phrase(each.p_test)})."
        )
    if confirmed:
        yield "The model may take one for a sign of the other. Add images that have only one of them."
    else:
        yield "No label is shown to depend on another."
    rest = len(listed) - len(confirmed)
    more = f"; {rest:,} more were seen on validation, but test does not confirm them" if rest else ""
    yield (
        f"{compared:,} comparisons of {MIN_IMAGES} or more validation images on each side, among images with equally many other "
        f"labels{more}."
    )


def _table(listed: Sequence[Dependence], classes: Sequence[str]) -> Table:
    rows = [
        (
            classes[each.label],
            f"{each.kind} {classes[each.other]}",
            *(f"{part.errors} of {part.images} ({percent(part.error_rate)})" if own else percent(part.other_error_rate)
              for part in (each.val, each.test) for own in (True, False)),
            p_text(each.p_test),
            "yes" if each.is_confirmed else "no",
        )
        for each in listed
    ]  # fmt: skip
    return Table("Labels whose errors depend on another label", _HEAD, tuple(rows), (2, 3, 4, 5, 6))


def _plain(each: Dependence, classes: Sequence[str]) -> dict[str, object]:
    return asdict(each) | {
        "label": classes[each.label],
        "other": classes[each.other],
        "p_test": None if np.isnan(each.p_test) else each.p_test,
        "confirmed": each.is_confirmed,
    }
