"""Something that leaves a mark if anybody runs it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Trap:
    """Unpickled, it makes the folder `mark`."""

    mark: str

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)

    @property
    def pickled(self) -> bytes:
        """The bytes that do it."""
        return pickle.dumps(self)

    @property
    def sprung(self) -> bool:
        """True once somebody ran it."""
        return Path(self.mark).exists()


@pytest.fixture
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    """A trap that works, and that nothing may have run in the end."""
    working = Trap(str(tmp_path_factory.mktemp("marks") / "proof"))
    pickle.loads(working.pickled)
    assert working.sprung
    armed = Trap(str(tmp_path_factory.mktemp("marks") / "mark"))
    yield armed
    assert not armed.sprung, "code from a file was run"
