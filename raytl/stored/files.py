"""A file as listed in manifests."""

from __future__ import annotations

from dataclasses import dataclass

from raytl.stored.bounds import Count, Digest


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file: its size and its sha256 in hex."""

    bytes: Count
    sha256: Digest
