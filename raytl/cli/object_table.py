"""The objects of annotated images as a table: classes, sizes and images without objects, by split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from raytl.cli.numbers import plural
from raytl.cli.tables import MOST_ROWS, table, titled

if TYPE_CHECKING:
    from raytl.data.object_counts import ObjectCounts


def object_table(counts: Mapping[str, ObjectCounts]) -> Group:
    """Return the number of objects by class and by size, with a column for each split."""
    rows = table(("objects", *counts), right_aligned=tuple(counts))
    names = sorted({name for each in counts.values() for name in each.classes})
    for name in names[:MOST_ROWS]:
        rows.add_row(Text(name), *(f"{each.classes.get(name, 0):,}" for each in counts.values()))
    if len(names) > MOST_ROWS:
        rows.add_row(f"… {len(names) - MOST_ROWS} more", *("" for _ in counts))
    rows.add_section()
    for size, limits in (("small", "below 32 x 32"), ("medium", "below 96 x 96"), ("large", "96 x 96 and more")):
        rows.add_row(f"{size} ({limits} pixels)", *(f"{each.sizes[size]:,}" for each in counts.values()))
    rows.add_section()
    rows.add_row("crowds, not scored", *(f"{each.crowds:,}" for each in counts.values()))
    rows.add_row("images without objects", *(f"{each.empty:,}" for each in counts.values()))
    rows.add_row("objects of an image (median, most)", *(_per_image(each) for each in counts.values()))
    total = sum(sum(each.classes.values()) for each in counts.values())
    return titled(plural(total, "object"), rows)


def _per_image(counts: ObjectCounts) -> str:
    return f"{counts.median_per_image:g}, {counts.max_per_image:,}"
