"""A value that raytl chose for a key of an experiment, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """The `value` of a dotted `key`, and the reason for it in a sentence."""

    key: str
    value: Any
    why: str = ""
