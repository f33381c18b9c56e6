"""A file appears whole under its name, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raytl.disk import writing

PARTIAL = ".raytl-part-"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A new name beside `path` to write to, renamed to `path` at the end and removed if anything went wrong."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
        try:
            yield part
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
