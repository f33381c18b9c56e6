"""A file appears whole under its name, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raytl.disk import writing
from raytl.store.drafts import drafted


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A new name beside `path` to write to, renamed to `path` at the end and removed if anything went wrong."""
    with writing(path), drafted(path) as draft:
        yield draft
        draft.replace(path)
