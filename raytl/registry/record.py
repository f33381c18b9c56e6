"""A published version and a move of an alias, as values that are written once and never changed."""

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
    """What is said of a version by whoever publishes it.

    `weights` is the digest of its tensors, `snapshot` names the data that it was trained on and `evaluation` the images that
    its `metrics` are of; `parent` is the version that it started from, `run` where it was trained, `tick` by which tick.
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
    """Version `number`: what is said of it, and its files, which lie under `files/<token>/`; `generation` is of the lease of
    whoever published it, 0 without one."""

    number: Number
    token: Token
    about: About
    files: Annotated[Mapping[Inside, FileEntry], at_most(100_000, "files")]
    generation: Count = 0

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


@dataclass(frozen=True)
class Move:
    """Move `number` of a registry: who moved which aliases when and why, and all `aliases` as they were after it.

    `moved` has for each alias that changed the version before and after it; None where there was or is none.
    """

    number: Number
    when: Name
    who: Name
    why: str
    moved: Annotated[Mapping[Name, tuple[Number | None, Number | None]], at_most(1000, "aliases")]
    aliases: Annotated[Mapping[Name, Number], at_most(1000, "aliases")]
    token: Name = ""
    """Another one for each attempt, to know one's own by."""
    generation: Count = 0
    """The highest generation of a lease that any move up to this one was made in."""

    def __post_init__(self) -> None:
        """Star the secrets in the reason, which the registry keeps for ever."""
        object.__setattr__(self, "why", redacted(self.why))

    def encoded(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self), indent=2).encode()


_ADVICE = "The object was damaged or edited: restore it there, or delete it."
RECORD_FORMAT = Format[Record](Record, "the record of a version", _ADVICE, RegistryError, max_bytes=16 << 20)
MOVE_FORMAT = Format[Move](Move, "a move of aliases", _ADVICE, RegistryError)


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
