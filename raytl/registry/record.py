"""A published version and a move of an alias, as values that are written once and never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from raytl.shown import redacted

CHAMPION, PREVIOUS = "champion", "previous"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a version: its size and its sha256 in hex."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class About:
    """What is said of a version by whoever publishes it.

    `weights` is the digest of its tensors, `snapshot` names the data that it was trained on and `evaluation` the images that
    its `metrics` are of; `parent` is the version that it started from, `run` where it was trained, `tick` by which tick.
    """

    model: str
    classes: tuple[str, ...]
    preprocess: Mapping[str, Any]
    weights: str
    snapshot: str
    evaluation: str
    metrics: Mapping[str, float | None]
    parent: int | None
    run: str
    tick: str
    git: Mapping[str, Any] | None
    who: str
    created: str


@dataclass(frozen=True)
class Record:
    """Version `number`: what is said of it, and its files, which lie under `files/<token>/`; `generation` is of the lease of
    whoever published it, 0 without one."""

    number: int
    token: str
    about: About
    files: Mapping[str, FileEntry]
    generation: int = 0

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(entry.bytes for entry in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return asdict(self)

    def encoded(self) -> bytes:
        """As it is stored."""
        return json.dumps(self.to_json(), indent=2).encode()

    @classmethod
    def decoded(cls, content: bytes) -> Record:
        """The value that `encoded` gave."""
        value = json.loads(content)
        about = About(**{**value["about"], "classes": tuple(value["about"]["classes"])})
        files = {name: FileEntry(**entry) for name, entry in value["files"].items()}
        return cls(value["number"], value["token"], about, files, value.get("generation", 0))


@dataclass(frozen=True)
class Move:
    """Move `number` of a registry: who moved which aliases when and why, and all `aliases` as they were after it.

    `moved` has for each alias that changed the version before and after it; None where there was or is none.
    """

    number: int
    when: str
    who: str
    why: str
    moved: Mapping[str, tuple[int | None, int | None]]
    aliases: Mapping[str, int]
    token: str = ""
    """Another one for each attempt, to know one's own by."""
    generation: int = 0
    """The highest generation of a lease that any move up to this one was made in."""

    def __post_init__(self) -> None:
        """Star the secrets in the reason, which the registry keeps for ever."""
        object.__setattr__(self, "why", redacted(self.why))

    def encoded(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self), indent=2).encode()

    @classmethod
    def decoded(cls, content: bytes) -> Move:
        """The value that `encoded` gave."""
        value = json.loads(content)
        return cls(**{**value, "moved": {alias: tuple(pair) for alias, pair in value["moved"].items()}})


@dataclass(frozen=True)
class State:
    """Which version each alias names now, after `moves` moves; `last` is the one that made it so."""

    moves: int = 0
    aliases: Mapping[str, int] = field(default_factory=dict)
    last: Move | None = None

    @property
    def generation(self) -> int:
        """The highest generation of a lease that an alias was moved in."""
        return self.last.generation if self.last else 0

    @property
    def champion(self) -> int | None:
        """The version in use; None before the first promotion."""
        return self.aliases.get(CHAMPION)
