"""The split and the perceptual hash of every image of a registry's versions, so that no image ever changes its split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from raytl.errors import RegistryError
from raytl.stored import Format
from raytl.stored.bounds import Name, matching

MEMORY = "memory.jsonl"
"""The file of a version."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The split and the perceptual hash of every image so far, by the digest of its bytes."""

    splits: Mapping[str, str]
    hashes: Mapping[str, int]

    def encoded(self) -> bytes:
        """Encode as JSON lines."""
        rows = (
            {"digest": key, "split": self.splits[key], "hash": f"{self.hashes.get(key, 0):016x}"}
            for key in sorted(self.splits)
        )
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    @classmethod
    def decoded(cls, content: bytes, where: str) -> Memory:
        """Decode the output of `encoded`; errors name it `where`.

        Raises:
            RegistryError: a line is damaged.
        """
        rows = list(MEMORY_FORMAT.lines(content, where))
        return cls({row.digest: row.split for row in rows}, {row.digest: int(row.hash, 16) for row in rows})


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A line of a memory file."""

    digest: Name
    split: Literal["train", "val", "test"]
    hash: Annotated[str, matching(r"[0-9a-f]{16}", "16 hexadecimal digits")]


MEMORY_FORMAT = Format[_Remembered](
    _Remembered,
    "the memory of an image",
    "The file was damaged or edited: restore it, or roll back to another version.",
    RegistryError,
    max_bytes=1 << 16,
)
