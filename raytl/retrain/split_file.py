"""Who trains and who is held out, for ever: an image stays on its side whatever it is called, and copies go with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from raytl.data.manifest import Sample
from raytl.data.perceptual_hash import nearest
from raytl.errors import RegistryError
from raytl.stored import Format
from raytl.stored.bounds import Name, matching

_EVALUATED = "test"
_LIKE_EVALUATED = "looks like an evaluation image"
_LIKE_TRAINED = "held out, but looks like an image that was trained on"
_NO_TRAINING = "held out, and no image of its class is trained on"


@dataclass(frozen=True, slots=True)
class Memory:
    """What was seen so far, by the digest of an image's bytes: its side, and the hash of what it looks like."""

    sides: Mapping[str, str]
    hashes: Mapping[str, int]

    def encoded(self) -> bytes:
        """As JSON lines."""
        rows = (
            {"digest": key, "split": self.sides[key], "hash": f"{self.hashes.get(key, 0):016x}"}
            for key in sorted(self.sides)
        )
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    @classmethod
    def decoded(cls, content: bytes, where: str) -> Memory:
        """The value that `encoded` gave; errors call it `where`.

        Raises:
            RegistryError: a line is damaged.
        """
        rows = list(MEMORY_FORMAT.lines(content, where))
        return cls({row.digest: row.split for row in rows}, {row.digest: int(row.hash, 16) for row in rows})


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A line of a memory."""

    digest: Name
    split: Literal["train", "val", "test"]
    hash: Annotated[str, matching(r"[0-9a-f]{16}", "16 hexadecimal digits")]


MEMORY_FORMAT = Format[_Remembered](
    _Remembered,
    "what a version remembers of an image",
    "The file was damaged or edited: restore it, or roll back to another version.",
    RegistryError,
    max_bytes=1 << 16,
)


@dataclass(frozen=True)
class Sided:
    """The samples on their sides, those that were left out by reason, and what is to be remembered of all."""

    samples: tuple[Sample, ...]
    left_out: Mapping[str, tuple[str, ...]]
    memory: Memory

    def side(self, name: str) -> tuple[Sample, ...]:
        """The samples of one side."""
        return tuple(sample for sample in self.samples if sample.split == name)


def settled(samples: Sequence[Sample], hashes: Mapping[str, int], memory: Memory) -> Sided:
    """The samples (with a side by their key or by the data, and a digest) where they have always been.

    One that is new is left out where a copy of it, by what it looks like, is on the other side of the evaluation; so are
    held-out images of a class that nobody trains on.
    """
    known = {sample.digest: memory.sides.get(sample.digest, sample.split or "train") for sample in samples}
    fresh = sorted({digest for digest in known if digest not in memory.sides})
    sides = dict(memory.sides)
    out: dict[str, str] = {}
    for side, reason in ((_EVALUATED, _LIKE_TRAINED), ("", _LIKE_EVALUATED)):
        mine = [
            digest for digest in fresh if (known[digest] == _EVALUATED) == (side == _EVALUATED) and digest in hashes
        ]
        others = [digest for digest, where in sides.items() if (where == _EVALUATED) != (side == _EVALUATED)]
        others = [digest for digest in others if digest in memory.hashes or digest in hashes]
        found = nearest([hashes[d] for d in mine], [hashes.get(d, memory.hashes.get(d, 0)) for d in others])
        out |= {digest: reason for digest, place in zip(mine, found, strict=True) if place is not None}
        sides |= {digest: known[digest] for digest in mine if digest not in out}
    sides |= {digest: known[digest] for digest in fresh if digest not in hashes and digest not in out}
    kept = [replace(sample, split=sides[sample.digest]) for sample in samples if sample.digest not in out]
    trained = {sample.label for sample in kept if sample.split == "train"}
    reasons = {sample.key: out[sample.digest] for sample in samples if sample.digest in out}
    reasons |= {sample.key: _NO_TRAINING for sample in kept if sample.label not in trained}
    remembered = {digest: value for digest, value in {**memory.hashes, **hashes}.items() if digest in sides}
    return Sided(
        samples=tuple(sample for sample in kept if sample.label in trained),
        left_out=_by_reason(reasons),
        memory=Memory(sides, remembered),
    )


def leaked(trained: Iterable[str], evaluated: Sequence[Sample], hashes: Mapping[str, int]) -> tuple[str, ...]:
    """The keys of the evaluation images that are among those trained on (by digest), or look like one of them."""
    digests = sorted(set(trained))
    seen = set(digests)
    looks = nearest(
        [hashes.get(sample.digest, 0) for sample in evaluated],
        [hashes[digest] for digest in digests if digest in hashes],
    )
    return tuple(
        sample.key
        for sample, like in zip(evaluated, looks, strict=True)
        if sample.digest in seen or (like is not None and sample.digest in hashes)
    )


def _by_reason(reasons: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {
        reason: tuple(sorted(key for key, why in reasons.items() if why == reason))
        for reason in Counter(reasons.values())
    }
