"""The list of a complete checkpoint in a store, and the record of what a node synchronized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from raytl.stored import Format
from raytl.stored.bounds import Count, Inside, Name, Token, at_most
from raytl.stored.files import FileEntry

Identity = Annotated[list[int], at_most(2, "numbers")]
"""Numbers that change if a file or folder changes."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A checkpoint in a store: its files are below `token`; `writer` is unique to each list of the same files."""

    token: Token
    files: Annotated[Mapping[Inside, FileEntry], at_most(10_000, "files")]
    writer: Name = ""
    generation: Count = 0


@dataclass(frozen=True, slots=True)
class Synced:
    """A synchronized file or folder: its ETag in the store, its local identity, and the token of a folder."""

    etag: Name
    local: Identity | None
    token: Name = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """The files and folders that were in sync the last time, by key."""

    files: dict[Inside, Synced]
    folders: dict[Inside, Synced]


WHOLE_FORMAT = Format[Whole](
    Whole, "the list of a checkpoint", "It was damaged or edited. Restore it in the store, or start over with --new."
)
MEMORY_FORMAT = Format[Memory](
    Memory,
    "the synchronization record of a store",
    "Delete the file, and everything is compared again.",
    max_bytes=256 << 20,
)
