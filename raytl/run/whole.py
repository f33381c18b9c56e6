"""What says that a checkpoint in a store is whole, and what a node remembers of the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from raytl.stored import Format
from raytl.stored.bounds import Count, Inside, Name, Token, at_most
from raytl.stored.files import FileEntry

Identity = Annotated[list[int], at_most(2, "numbers")]
"""Numbers that change with a file or a folder."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A checkpoint in a store: its files lie below `token`; `writer` is another one for each list of the same files."""

    token: Token
    files: Annotated[Mapping[Inside, FileEntry], at_most(10_000, "files")]
    writer: Name = ""
    generation: Count = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A file or a folder that was the same here and there: its etag there, its numbers here, and a folder's token."""

    etag: Name
    local: Identity | None
    token: Name = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What was the same here and there the last time, by key."""

    files: dict[Inside, Known]
    folders: dict[Inside, Known]


WHOLE_FORMAT = Format[Whole](
    Whole, "the list of a checkpoint", "It was damaged or edited: restore it there, or start over with --new."
)
MEMORY_FORMAT = Format[Memory](
    Memory,
    "what this node remembers of a store",
    "Delete the file, and everything is compared anew.",
    max_bytes=256 << 20,
)
