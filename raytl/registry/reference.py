"""`models:trash@champion`: a version of a registry, by an alias or a number, wherever a run or weights can be named.

The place is a registry's URI or path (`models:s3://bucket/models/trash@3`, `models:./models/trash`), or, without a slash, a
name below RAYTL_REGISTRY. Without `@`, the champion is meant.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from raytl.errors import RegistryError
from raytl.registry.record import CHAMPION

SCHEME = "models:"
ROOT = "RAYTL_REGISTRY"
_WHICH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A version: `which` is an alias or a number, in the registry at `uri`."""

    uri: str
    which: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.uri}@{self.which}"


def is_reference(text: str | Path) -> bool:
    """True for what `reference` reads."""
    return isinstance(text, str) and text.startswith(SCHEME)


def reference(text: str) -> Reference:
    """The version that `models:<registry>[@<alias or number>]` names.

    Raises:
        RegistryError: it is none, or RAYTL_REGISTRY is needed and not set.
    """
    place, at, which = text.removeprefix(SCHEME).rpartition("@")
    if not at:
        place, which = which, CHAMPION
    if not place or not _WHICH.fullmatch(which):
        raise RegistryError(f"{text}: found no registry and version; expected models:trash@champion, or models:URI@3")
    return Reference(registry_uri(place), which)


def registry_uri(place: str) -> str:
    """Where the registry is that is called `place`: a URI or a path as it is, a bare name below RAYTL_REGISTRY.

    Raises:
        RegistryError: a bare name, and RAYTL_REGISTRY is not set.
    """
    if "/" in place or place.startswith("."):
        return place.rstrip("/")
    root = os.environ.get(ROOT)
    if not root:
        raise RegistryError(
            f"{place!r} is a registry's bare name, and {ROOT} is not set; set it to the folder or the s3:// prefix that "
            f"holds {place}/, or name the whole: s3://bucket/models/{place}"
        )
    return f"{root.rstrip('/')}/{place}"
