"""Section: does the model err more often on some groups? Error rates by the columns with the role fairness."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raytl.assessment.section import Evidence, Options, SectionResult, Table
from raytl.assessment.texts import bounds, p_phrase, percent
from raytl.metrics.attributes import of_texts
from raytl.metrics.binomial import fraction
from raytl.metrics.slices import SliceSearch, find_slices

_HEAD = ("column", "value", "test images", "errors", "error rate (95 %)")


class FairnessSection:
    """See `raytl.assessment.section.Section`."""

    name = "fairness"
    needs_train = False

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the error rate of each value on test, and the gaps that validation shows and test confirms."""
        columns = [name for name, role in evidence.columns.items() if role == "fairness"]
        rows = [(name, *row) for name in columns for row in _rates(evidence, name)]
        search = find_slices(
            ~evidence.val.correct,
            ~evidence.test.correct,
            [of_texts(name, evidence.val.column(name), evidence.test.column(name)) for name in columns],
            pairs=False,
        )
        return SectionResult(
            title="Fairness: are the error rates of groups equal?",
            sentences=tuple(_sentences(columns, search)),
            tables=(_table(rows),) if rows else (),
            json={
                "columns": columns,
                "candidates": search.candidates,
                "gaps": [
                    {
                        "group": each.name,
                        "error_rate": each.test.error_rate,
                        "other_error_rate": each.test.other_error_rate,
                        "p": each.p_test,
                    }
                    for each in search.confirmed
                ],
            },
        )


SECTION = FairnessSection()


def _rates(evidence: Evidence, column: str) -> Iterator[tuple[str, int, int]]:
    """Yield each value with the number of its test images and of the errors on them."""
    values, wrong = np.array(evidence.test.column(column), np.str_), ~evidence.test.correct
    for value in np.unique(values[values != ""]).tolist():
        inside = values == value
        yield value, int(inside.sum()), int(wrong[inside].sum())


def _sentences(columns: list[str], search: SliceSearch) -> Iterator[str]:
    if not columns:
        yield 'No column has the role fairness. Name one in the experiment: data.columns: {"skin": fairness}.'
        return
    for each in search.confirmed:
        yield (
            f"{each.name}: {percent(each.test.error_rate)} errors on {each.test.images:,} test images, "
            f"{percent(each.test.other_error_rate)} on the others ({p_phrase(each.p_test)})."
        )
    if not search.confirmed:
        yield (
            f"No gap between groups is confirmed on test; {search.candidates} groups of {search.min_images} or more validation "
            "images were compared. Small gaps, and gaps of smaller groups, are not excluded."
        )


def _table(rows: list[tuple[str, str, int, int]]) -> Table:
    texts = [
        (column, value, f"{images:,}", f"{wrong:,}", bounds(fraction(wrong, images)))
        for column, value, images, wrong in rows
    ]
    return Table("Error rates by group", _HEAD, tuple(texts), (2, 3, 4))
