"""The objects of a listing as folders and files, with as much of a path's face as looking through folders needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass
class Listed:
    """A folder of a listing, or an object where `inside` is None; `key` is relative to the URI that was listed."""

    uri: str
    key: str
    inside: dict[str, Listed] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on, as pathlib has it."""
        stem, dot, end = self.name.rpartition(".")
        return f".{end}" if dot and stem and end else ""

    def is_dir(self) -> bool:
        """True for a folder."""
        return self.inside is not None

    def iterdir(self) -> Iterator[Listed]:
        """What is in the folder."""
        return iter((self.inside or {}).values())

    def __str__(self) -> str:
        return f"{self.uri}/{self.key}" if self.key else self.uri


def tree(uri: str, keys: Iterable[str]) -> Listed:
    """The folder that holds these keys, none of which is also a folder."""
    root = Listed(uri, "", {})
    for key in keys:
        parts, at = key.split("/"), root
        for depth, part in enumerate(parts[:-1], start=1):
            assert at.inside is not None, "no key is also a folder"
            at = at.inside.setdefault(part, Listed(uri, "/".join(parts[:depth]), {}))
        assert at.inside is not None, "no key is also a folder"
        at.inside[parts[-1]] = Listed(uri, key)
    return root
