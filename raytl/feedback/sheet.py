"""The images to label as a CSV table with an empty column `label`, and as a page with thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raytl.feedback.collect import Pick, Picked
from raytl.pages import jpeg, render
from raytl.run.atomic import write_text
from raytl.sanitize import command, csv_cell

_HEAD = ("photo", "uri", "suggested", "confidence", "why", "label")
_GROUPS = {
    "random": (
        "Random share",
        "Drawn at random from all answers: label every one of them, or the accuracy in use is not known.",
    ),
    "uncertain": (
        "Uncertain",
        "The answers are unsure, and the images differ from each other and from what is labelled.",
    ),
    "unfamiliar": ("Unfamiliar", "The images are far from all training images."),
}


def write_sheet(out: Path, uri: str, picked: Picked) -> Path:
    """Write the table to `out` and the page beside it, and return the page's path."""
    page = out.with_suffix(".html")
    write_text(out, table(uri, picked.picks))
    write_text(page, _page(out, uri, picked))
    return page


def table(uri: str, picks: Sequence[Pick]) -> str:
    """Return the CSV table of images to label; `label` is empty."""
    rows = [_HEAD, *(_row(uri.rstrip("/"), pick) for pick in picks)]
    return "".join(",".join(map(csv_cell, row)) + "\n" for row in rows)


def _row(uri: str, pick: Pick) -> tuple[str, ...]:
    record = pick.record
    return record.photo, f"{uri}/{record.key}", record.label, f"{record.confidence:.4f}", pick.why, ""


def _page(out: Path, uri: str, picked: Picked) -> str:
    groups = [
        (title, text, [(pick, jpeg(pick.thumbnail)) for pick in picked.picks if pick.why == why])
        for why, (title, text) in _GROUPS.items()
    ]
    return render(
        "raytl.feedback",
        "collect.html.j2",
        uri=uri,
        records=picked.records,
        picks=picked.picks,
        table=str(out),
        command=command("raytl", "collect", uri, "--labels", str(out)),
        groups=[group for group in groups if group[2]],
    )
