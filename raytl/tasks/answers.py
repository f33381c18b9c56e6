"""The answers of a model for many photos, and the formats in which a task writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

from raytl.errors import RaytlError, UserError

A = TypeVar("A")

OpenPhoto = Callable[[str], Image.Image | None]
"""Return the upright photo at a path or URI as 8-bit RGB; None if it can no longer be read."""


@dataclass(frozen=True, eq=False)
class Answers(Generic[A]):
    """The answer of each photo, in the order of `paths`; `sizes` are (width, height) of the upright originals.

    `answers` are read one at a time, once, so they need not all be in memory.
    """

    paths: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    answers: Sequence[A]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class OutputFormat(Generic[A]):
    """A format of predictions. `ending` is that of its file, empty if it is a folder of files.

    `write` gets the answers, the path, and a way to open photos, which only pictures need.
    """

    name: str
    ending: str
    write: Callable[[Answers[A], Path, OpenPhoto], None]


def output_format(
    formats: Sequence[OutputFormat[A]], out: str | os.PathLike[str], name: str | None = None
) -> OutputFormat[A]:
    """Return the format called `name`, or without a name the first one with the ending of `out`; without an ending, a folder.

    Raises:
        UserError: there is none, `out` is a file where a folder is written or the other way round, or a folder with files.
    """
    path = Path(out)
    chosen = next(
        (each for each in formats if (each.name == name if name else each.ending == path.suffix.lower())), None
    )
    if chosen is None:
        raise UserError(_unknown(formats, out, name))
    if chosen.ending and path.is_dir():
        raise UserError(f"{out}: this is a folder; expected the name of a file to write")
    if not chosen.ending and path.exists() and not (path.is_dir() and next(path.iterdir(), None) is None):
        kind = "a folder with files" if path.is_dir() else "a file"
        raise UserError(f"{out}: this is {kind}; expected a new or empty folder. Remove it, or name another.")
    return chosen


def _unknown(formats: Sequence[OutputFormat[A]], out: str | os.PathLike[str], name: str | None) -> str:
    lines = ", ".join(f"{each.name} ({each.ending or 'a folder'})" for each in formats)
    wrong = f"the format {name!r}" if name else f"the ending {Path(out).suffix!r}"
    return f"{out}: found {wrong}, expected one of {lines}"


def open_photo(path: str) -> Image.Image | None:
    """Return the upright photo as RGB, with the default limits of raytl; None if it cannot be read."""
    from raytl.config.machine import Machine
    from raytl.data.decode import BadImage, decode
    from raytl.store.s3_settings import S3Settings

    machine = Machine()
    try:
        return decode(path, machine.max_pixels, s3=S3Settings.of(machine.storage))
    except (BadImage, RaytlError):
        return None
