"""Numbers and tables of a report as text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from raytl.metrics.intervals import Interval


def percent(value: float) -> str:
    """Return a fraction in percent, a dash if it is undefined."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def confidence_text(value: float) -> str:
    """Return a confidence with three digits, or with more if it would read as 1 and is below."""
    return next(text for digits in range(3, 18) if (text := f"{value:.{digits}g}") != "1" or value >= 1)


def bounds(each: Interval) -> str:
    """Return a fraction with its interval: `91.2 % (88 % to 94.1 %)`; a dash if it is undefined."""
    if math.isnan(each.value):
        return percent(each.value)
    return f"{percent(each.value)} ({percent(each.low)} to {percent(each.high)})"


def searched_text(images: Mapping[str, int]) -> str:
    """Return the images of splits that were searched, by the name of the split: `87 validation images and 1 training image`."""
    names = {"val": "validation", "train": "training"}
    return " and ".join(
        f"{count:,} {names[name]} {'image' if count == 1 else 'images'}" for name, count in images.items()
    )


def p_text(value: float) -> str:
    """Return a p-value; "not tested" if it is NaN."""
    if value != value:
        return "not tested"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def p_phrase(value: float) -> str:
    """Return a p-value that was tested, for a sentence: `p = 0.0123`, or `p < 0.0001`."""
    return f"p {p_text(value)}" if value < 1e-4 else f"p = {p_text(value)}"


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV table; a cell that a spreadsheet would take for a formula is quoted with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[_inert(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
