"""Write a file atomically: it appears whole under its name, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raytl.disk import writing
from raytl.store.drafts import drafted


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` at the end, or remove it after an error."""
    with writing(path), drafted(path) as draft:
        yield draft
        draft.replace(path)
