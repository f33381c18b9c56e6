"""A published version and a move of an alias: values that are written once and never change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from raytl.errors import RegistryError
from raytl.sanitize import redacted
from raytl.stored import Format
from raytl.stored.bounds import Classes, Count, GitState, Inside, Moment, Name, Score, Token, at_most, within
from raytl.stored.files import FileEntry

CHAMPION, PREVIOUS = "champion", "previous"
Number = Annotated[int, within(1, 10**8 - 1)]


@dataclass(frozen=True)
class About:
    """The description of a version, by its publisher.

    `weights` is the digest of its tensors, `snapshot` the id of its training data, and `evaluation` the id of the images that
    `metrics` were measured on; `parent` is the version that it started from, `run` and `tick` those that trained it.
    """

    model: Name
    classes: Classes
    preprocess: Mapping[str, Any]
    weights: Name
    snapshot: Name
    evaluation: Name
    metrics: Mapping[Name, Score | None]
    parent: Number | None
    run: Name
    tick: Name
    git: GitState | None
    who: Name
    created: Moment


@dataclass(frozen=True)
class Record:
    """Version `number`: its description, and its files below `files/<token>/`; `generation` is that of the publisher's lease,
    0 without one."""

    number: Number
    token: Token
    about: About
    files: Annotated[Mapping[Inside, FileEntry], at_most(100_000, "files")]
    generation: Count = 0

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(entry.bytes for entry in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def encoded(self) -> bytes:
        """Encode as stored."""
        return json.dumps(self.to_json(), indent=2).encode()


@dataclass(frozen=True)
class Move:
    """Move `number` of a registry: who moved which aliases when and why, and all `aliases` after it.

    `moved` has the version before and after for each alias that changed; None for no version.
    """

    number: Number
    when: Name
    who: Name
    why: str
    moved: Annotated[Mapping[Name, tuple[Number | None, Number | None]], at_most(1000, "aliases")]
    aliases: Annotated[Mapping[Name, Number], at_most(1000, "aliases")]
    token: Name = ""
    """Unique to each attempt, to recognize its own object."""
    generation: Count = 0
    """The highest lease generation of all moves up to this one."""

    def __post_init__(self) -> None:
        """Redact secrets in the reason, which the registry keeps forever."""
        object.__setattr__(self, "why", redacted(self.why))

    def encoded(self) -> bytes:
        """Encode as stored."""
        return json.dumps(asdict(self), indent=2).encode()


_ADVICE = "The object was damaged or edited: restore it there, or delete it."
RECORD_FORMAT = Format[Record](Record, "the record of a version", _ADVICE, RegistryError, max_bytes=16 << 20)
MOVE_FORMAT = Format[Move](Move, "a move of aliases", _ADVICE, RegistryError)


@dataclass(frozen=True)
class State:
    """The version that each alias names, after `moves` moves; `last` is the newest move."""

    moves: int = 0
    aliases: Mapping[str, int] = field(default_factory=dict)
    last: Move | None = None

    @property
    def generation(self) -> int:
        """The highest lease generation in which an alias was moved."""
        return self.last.generation if self.last else 0

    @property
    def champion(self) -> int | None:
        """The champion's version; None before the first promotion."""
        return self.aliases.get(CHAMPION)
