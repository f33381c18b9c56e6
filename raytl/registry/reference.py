"""`models:trash@champion`: a version of a registry, by alias or number, wherever a run or weights can be named.

The registry is a URI or a path (`models:s3://bucket/models/trash@3`, `models:./models/trash`), or, without a slash, a
name below RAYTL_REGISTRY. Without `@`, the version is the champion.
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
    """Return whether `text` is a `models:...` reference."""
    return isinstance(text, str) and text.startswith(SCHEME)


def reference(text: str) -> Reference:
    """Parse `models:<registry>[@<alias or number>]`.

    Raises:
        RegistryError: `text` is malformed, or RAYTL_REGISTRY is needed but not set.
    """
    place, at, which = text.removeprefix(SCHEME).rpartition("@")
    if not at:
        place, which = which, CHAMPION
    if not place or not _WHICH.fullmatch(which):
        raise RegistryError(f"{text}: not a reference; expected models:trash@champion or models:URI@3")
    return Reference(registry_uri(place), which)


def registry_uri(place: str) -> str:
    """Return the URI of the registry `place`: a URI or a path is returned as it is, a bare name is below RAYTL_REGISTRY.

    Raises:
        RegistryError: `place` is a bare name, but RAYTL_REGISTRY is not set.
    """
    if "/" in place or place.startswith("."):
        return place.rstrip("/")
    root = os.environ.get(ROOT)
    if not root:
        raise RegistryError(
            f"{place!r} is a registry's bare name, but {ROOT} is not set; set it to the folder or s3:// prefix above "
            f"{place}/, or give the full URI: s3://bucket/models/{place}"
        )
    return f"{root.rstrip('/')}/{place}"
