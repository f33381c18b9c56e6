"""Problems across keys, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Conflict:
    """Settings of `keys` that contradict each other; the error is reported at the first key.

    A key of `gives_way` that is not set takes the value there, which ends the conflict: a default rejects nothing.
    """

    keys: tuple[str, ...]
    fault: str
    advice: str
    gives_way: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Idle:
    """A key that cannot take effect, because `cause` (another key) is as it is, and so are `others`, each of which would do."""

    key: str
    cause: str
    because: str
    advice: str
    others: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """Return all keys because of which it cannot take effect."""
        return (self.cause, *self.others)
