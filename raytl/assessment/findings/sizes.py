"""Section: which errors does it make, on small and large things, and by class? The errors of TIDE (Bolya et al. 2020), counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.section import Figure, Options, SectionResult, Table
from raytl.assessment.texts import bounds, percent
from raytl.metrics.findings import ERRORS, MISPLACED, SIZES, WRONG_CLASS, Findings, mean_by_images
from raytl.metrics.intervals import Interval
from raytl.pages.figures import BLUE, LINE, OCHRE, ORANGE, PURPLE, SOFT, Draw, dress, legend_above, new_figure

FATES = ("found", "localized badly", "wrong class", "not found")
"""What becomes of a thing: the first that applies."""
_COLORS = (BLUE, OCHRE, PURPLE, ORANGE)
_CLASSES = 30
_TITLE = "Errors by size and class: what does it miss, and what does it make up?"
_SIZES = "Small is an area below 32 x 32 pixels of the original image, large from 96 x 96 on."
_NOTE = (
    f"{_SIZES} Counted at the confidence from which the "
    "model reports: localized badly is an overlap (IoU) of 0.1 to 0.5 with the right class, wrong class one of 0.5 or more with "
    "another, a duplicate one with a thing that another finding found already, and background one below 0.1."
)
_REGIONS = (
    f"{_SIZES} Regions are connected pixels of one class on the view of the network, without the background. A true region is found if "
    "at least half of it is answered as its class, and a predicted one is correct if at least half of it is of its class; otherwise it "
    "is of the class that most of it has: its own (localized badly), another, or the background. Things that touch are one region."
)


@dataclass(frozen=True)
class _Group:
    """The things and the findings of a size or class: `fates` counts things, `errors` reported findings; `recall` is the
    fraction that is found, with an interval over images or groups of them."""

    name: str
    fates: tuple[int, ...]
    errors: tuple[int, ...]
    recall: Interval


class SizesSection:
    """See `raytl.assessment.section.Section`."""

    name = "sizes"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return what becomes of the things on test, and what the findings there are, by size and by class."""
        test, wanted, unit = evidence.test.findings, evidence.kind.wanted, evidence.kind.unit
        sizes = _groups(evidence.test, test.wanted.size, test.size, SIZES, options.seed)
        classes = _groups(evidence.test, test.wanted.label, test.label, evidence.classes, options.seed)
        if len(classes) > _CLASSES:
            classes = sorted(classes, key=lambda each: np.nan_to_num(each.recall.value, nan=2.0))[:_CLASSES]
        return SectionResult(
            title=_TITLE,
            sentences=(*_sentences(test, sizes, classes, evidence), _NOTE if test.pixels is None else _REGIONS),
            tables=(
                _fates(f"What becomes of the {wanted}s on test", "size", wanted, sizes),
                _errors(f"What the reported {unit}s are", "size", unit, sizes),
                _fates(f"What becomes of the {wanted}s, by class", "class", wanted, classes),
                _errors(f"What the reported {unit}s are, by class", "class", unit, classes),
            ),
            figures=(
                Figure(
                    "sizes",
                    f"What becomes of the {wanted}s, by size",
                    f"The {wanted}s of the test split by size, and whether they are found.",
                    _chart(sizes, wanted),
                ),
            ),
            json={"sizes": [_plain(each) for each in sizes], "classes": [_plain(each) for each in classes]},
        )


SECTION = SizesSection()


def fates(findings: Findings) -> NDArray[np.int64]:
    """Return what becomes of each wanted thing, `(t,)`: its place in `FATES`."""
    fate = np.where(findings.missed, 3, 0)
    for number, error in ((2, WRONG_CLASS), (1, MISPLACED)):
        concerned = np.zeros(len(fate), bool)
        concerned[findings.truth[findings.reported & (findings.error == error) & (findings.truth >= 0)]] = True
        fate[findings.missed & concerned] = number
    return fate


def _groups(
    split: SplitFindings, of_wanted: NDArray[np.int64], of_findings: NDArray[np.int64], names: Sequence[str], seed: int
) -> list[_Group]:
    findings = split.findings
    fate, reported, hits = fates(findings), findings.reported, (~findings.missed).astype(np.float64)
    groups = []
    for number, name in enumerate(names):
        things, taken = of_wanted == number, reported & (of_findings == number)
        groups.append(
            _Group(
                name,
                tuple(np.bincount(fate[things], minlength=len(FATES)).tolist()),
                tuple(np.bincount(findings.error[taken], minlength=len(ERRORS)).tolist()),
                mean_by_images(split.sampling_units(findings.wanted.image[things]), hits[things], seed),
            )
        )
    return groups


def _sentences(test: Findings, sizes: list[_Group], classes: list[_Group], evidence: FindingEvidence) -> Iterator[str]:
    wanted, unit = evidence.kind.wanted, evidence.kind.unit
    if not len(test.wanted):
        yield f"The test split has no {wanted}s."
        return
    missed = int(test.missed.sum())
    parts = [
        f"{percent(each.recall.value)} of {sum(each.fates):,} {each.name} ones" for each in sizes if sum(each.fates)
    ]
    recalls = f" Found are {_listed(parts)}." if parts else ""
    yield f"{missed:,} of {len(test.wanted):,} {wanted}s on test are not found.{recalls}"
    errors = np.bincount(test.error[test.reported], minlength=len(ERRORS))
    wrong = int(errors[1:].sum())
    if wrong:
        worst = sorted(range(1, len(ERRORS)), key=lambda i: -errors[i])
        kinds = [f"{percent(errors[i] / wrong)} {ERRORS[i]}" for i in worst if errors[i]]
        yield f"{wrong:,} of {int(errors.sum()):,} reported {unit}s are wrong: {'; '.join(kinds)}."
    hardest = [each for each in classes if sum(each.fates)]
    if len({each.recall.value for each in hardest}) > 1:
        low = min(hardest, key=lambda each: each.recall.value)
        yield f"The class that is missed most often is {low.name!r}: {bounds(low.recall)} found."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _fates(title: str, by: str, wanted: str, groups: list[_Group]) -> Table:
    rows = [
        (each.name, f"{sum(each.fates):,}", bounds(each.recall), *(_part(n, sum(each.fates)) for n in each.fates[1:]))
        for each in groups
    ]
    return Table(title, (by, f"{wanted}s", "found (95 % interval)", *FATES[1:]), tuple(rows), (1, 2, 3, 4, 5))


def _errors(title: str, by: str, unit: str, groups: list[_Group]) -> Table:
    rows = [(each.name, f"{sum(each.errors):,}", *(_part(n, sum(each.errors)) for n in each.errors)) for each in groups]
    return Table(title, (by, f"{unit}s", *ERRORS), tuple(rows), tuple(range(1, 2 + len(ERRORS))))


def _part(count: int, total: int) -> str:
    return f"{count:,} ({percent(count / total)})" if total else "–"


def _plain(each: _Group) -> dict[str, Any]:
    return {
        "name": each.name,
        "wanted": dict(zip(FATES, each.fates, strict=True)),
        "findings": dict(zip(ERRORS, each.errors, strict=True)),
        "recall": asdict(each.recall),
    }


def _chart(groups: list[_Group], wanted: str) -> Draw:
    """Return the chart of the fates by size, one bar a size."""

    def chart(width: float) -> Any:
        figure = new_figure(width, 0.6 * len(groups) + 1.1)
        axes = figure.subplots()
        totals = [max(1, sum(each.fates)) for each in groups]
        left = np.zeros(len(groups))
        for number, (fate, color) in enumerate(zip(FATES, _COLORS, strict=True)):
            widths = np.array([each.fates[number] for each in groups]) / totals
            axes.barh(range(len(groups)), widths, left=left, color=color, label=fate, edgecolor=LINE, linewidth=0.5)
            left += widths
        dress(axes, x=f"fraction of the {wanted}s")
        axes.set(yticks=range(len(groups)), xlim=(0, 1), ylim=(len(groups) - 0.5, -0.5))
        axes.set_yticklabels([f"{each.name} ({sum(each.fates):,})" for each in groups], color=SOFT)
        legend_above(figure, axes)
        return figure

    return chart
