"""Doubtful labels as a CSV table with empty columns to fill in, and as a page with thumbnails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from raytl.data.bit_depth import BitDepth
from raytl.data.corrections import rows_of
from raytl.data.decode import BadImage, loaded
from raytl.errors import DataError, StoreError
from raytl.labelling.suspect import SuspectLabel
from raytl.pages import Html, jpeg, render
from raytl.run.atomic import write_text
from raytl.sanitize import csv_cell
from raytl.store.s3_settings import S3Settings

TABLE, PAGE = "doubtful-labels.csv", "doubtful-labels.html"
HEAD = ("key", "split", "given", "suggested", "probability", "margin", "label", "who", "why")
MAX_PICTURES = 200
_THUMBNAIL_PX = 192


def table(listed: Sequence[SuspectLabel]) -> str:
    """Return the CSV table; the columns label, who and why are empty."""
    return "".join(",".join(map(csv_cell, row)) + "\n" for row in [HEAD, *map(_row, listed)])


def check_folder(out: Path) -> None:
    """Check that the table and the page can be written to the folder `out`.

    Raises:
        DataError: it, or a folder that it is in, is a file.
    """
    there = next(each for each in (out, *out.absolute().parents) if each.exists())
    if not there.is_dir():
        raise DataError(
            f"--out {out}: {there} is a file; expected a folder, to which {TABLE} and {PAGE} are written. Name another"
        )


def check_replaceable(file: Path) -> None:
    """Check that a new table at `file` replaces no row that was filled in.

    Raises:
        DataError: it does, or the file is no such table.
    """
    if file.exists():
        filled = sum(bool(row["label"]) for _, row in rows_of(file.read_bytes(), str(file), HEAD))
        if filled:
            raise DataError(
                f"{file}: has {filled} label{'s' * (filled > 1)} that would be lost; apply the table with --apply and move it, or "
                "choose another --out"
            )


def _row(each: SuspectLabel) -> tuple[str, ...]:
    numbers = f"{each.probability:.4f}", f"{each.margin:.4f}"
    return each.key, each.split, each.given, each.suggested, *numbers, "", "", ""


def write_page(
    out: Path,
    uri: str,
    sentence: str,
    listed: Sequence[SuspectLabel],
    paths: Mapping[str, str],
    depth: BitDepth,
    max_pixels: int,
    s3: S3Settings,
    command: str,
) -> None:
    """Write the page of the first doubtful labels; `paths` are the files of images by key."""
    pictures = [(each, _picture(paths[each.key], depth, max_pixels, s3)) for each in listed[:MAX_PICTURES]]
    values = {
        "uri": uri,
        "sentence": sentence,
        "listed": listed,
        "pictures": pictures,
        "table": TABLE,
        "command": command,
    }
    write_text(out, render("raytl.labelling", "labels.html.j2", **values))


def rows_by_class(listed: Sequence[SuspectLabel]) -> Iterator[tuple[str, str, int]]:
    """Yield how often each label is suggested for each given one, the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for each in listed:
        counts[each.given, each.suggested] = counts.get((each.given, each.suggested), 0) + 1
    for (given, suggested), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield given, suggested, count


def _picture(path: str, depth: BitDepth, max_pixels: int, s3: S3Settings) -> Html:
    """Return the image as a `data:` URI; empty if it is gone."""
    try:
        with loaded(path, max_pixels, s3) as picture:
            image = picture.rgb(depth)
            image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
            return jpeg(image)
    except (BadImage, StoreError):
        return Html()
