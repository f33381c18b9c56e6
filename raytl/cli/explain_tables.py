"""Explanations as tables: the method and its reason, the first maps in numbers, and the files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import plural
from raytl.cli.tables import MOST_ROWS, facts, table, titled

if TYPE_CHECKING:
    from raytl.evaluation.explanation.record import Explanation, Explanations

_NUMBERS = ("confidence", "border", "center")


def explanations_tables(result: Explanations, out: Path) -> list[RenderableType]:
    """Return the first maps, wrong answers first, and the files that were written to `out`."""
    rows = table(("photo", "class", "true", *_NUMBERS), right_aligned=_NUMBERS)
    for each in result.explanations[:MOST_ROWS]:
        rows.add_row(*map(Text, _cells(each)))
    more = len(result.explanations) - MOST_ROWS
    where = [
        ("method", f"{result.method}: {result.why}"),
        ("maps", _counts(result)),
        ("page", str(out / "index.html")),
        ("numbers", str(out / "explanations.json")),
    ]
    parts: list[RenderableType] = [titled("explanations", rows)] if result.explanations else []
    if more > 0:
        parts.append(Text(f"and {plural(more, 'more map')} on the page\n"))
    return [*parts, facts(where)]


def _counts(result: Explanations) -> str:
    text = plural(len(result.explanations), "map")
    if result.split is not None:
        text += f" of the {result.split} split, {result.wrong} of wrong answers"
    return text


def _cells(each: Explanation) -> tuple[str, ...]:
    true = "" if each.true is None else ", ".join(each.true) or "nothing"
    fractions = ("–" if math.isnan(fraction) else f"{100 * fraction:.0f} %" for fraction in (each.border, each.center))
    return each.path, each.label, true, f"{100 * each.confidence:.1f} %", *fractions
