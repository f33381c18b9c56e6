"""Section: is the score of an image lower for some groups? Scores by the columns with the role fairness."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.section import Options, SectionResult, Table
from raytl.assessment.texts import bounds, p_phrase, percent
from raytl.metrics.attributes import of_texts
from raytl.metrics.findings import mean_by_images
from raytl.metrics.intervals import Interval
from raytl.metrics.slices import SliceSearch, find_slices


class FindingFairnessSection:
    """See `raytl.assessment.section.Section`."""

    name = "fairness"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the mean score of each group on test, and the gaps that validation shows and test confirms."""
        columns = [name for name, role in evidence.columns.items() if role == "fairness"]
        rows = [(name, *row) for name in columns for row in _means(evidence, name, options.seed)]
        val, test = evidence.val, evidence.test
        median = float(np.median(val.findings.score))
        search = find_slices(
            val.findings.score < median,
            test.findings.score < median,
            [of_texts(name, val.column(name), test.column(name)) for name in columns],
            pairs=False,
        )
        score = evidence.kind.score
        return SectionResult(
            title=f"Fairness: is the {score} of groups equal?",
            sentences=tuple(_sentences(columns, search, score, median)),
            tables=(_table(rows, score),) if rows else (),
            json={
                "columns": columns,
                "median": median,
                "candidates": search.candidates,
                "groups": [
                    {"column": column, "value": value, "images": images, "score": [each.value, each.low, each.high]}
                    for column, value, images, each in rows
                ],
                "gaps": [
                    {"group": each.name, "below_median": each.test.error_rate, "others": each.test.other_error_rate, "p": each.p_test}
                    for each in search.confirmed
                ],
            },
        )  # fmt: skip


SECTION = FindingFairnessSection()


def _means(evidence: FindingEvidence, column: str, seed: int) -> Iterator[tuple[str, int, Interval]]:
    """Yield each value with the number of its test images and their mean score."""
    values, score = np.array(evidence.test.column(column), np.str_), evidence.test.findings.score
    for value in np.unique(values[values != ""]).tolist():
        places = np.flatnonzero(values == value)
        yield value, len(places), mean_by_images(places, score[places], seed)


def _sentences(columns: list[str], search: SliceSearch, score: str, median: float) -> Iterator[str]:
    if not columns:
        yield 'No column has the role fairness. Name one in the experiment: data.columns: {"skin": fairness}.'
        return
    for each in search.confirmed:
        yield (
            f"{each.name}: {percent(each.test.error_rate)} of {each.test.images:,} test images have a {score} below "
            f"{percent(median)}, {percent(each.test.other_error_rate)} of the others ({p_phrase(each.p_test)})."
        )
    if not search.confirmed:
        yield (
            f"No gap between groups is confirmed on test; {search.candidates} groups of {search.min_images} or more validation "
            "images were compared. Small gaps, and gaps of smaller groups, are not excluded."
        )


def _table(rows: list[tuple[str, str, int, Interval]], score: str) -> Table:
    texts = [(column, value, f"{images:,}", bounds(each)) for column, value, images, each in rows]
    return Table(f"{score} by group", ("column", "value", "test images", f"mean {score} (95 %)"), tuple(texts), (2, 3))
