"""The columns of a table of samples that are more than text: paths, targets that are parsed when they are read, digests."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from raytl.data.targets import Boxes, Instances, Mask, Target, target_record
from raytl.data.texts import Coded, CodeWriter, Texts, TextWriter
from raytl.errors import RunError
from raytl.stored import Format

_HEX = 64
"""Characters of a SHA-256."""
_UNKNOWN = bytes(32)
_ZEROS = _UNKNOWN.hex()
_AT_ONCE = 1 << 14
_DENSE = (Mask, Boxes, Instances)
TARGET_FORMAT = Format[Target](
    Target, "a target", "The file was damaged: start the command again.", RunError, max_bytes=64 << 20
)


class Paths:
    """The files of samples: `bases[i]` and the key, or if the base is None, the text in `rests`."""

    __slots__ = ("bases", "keys", "rests")

    def __init__(self, keys: Texts, bases: Coded[str | None], rests: Texts | None) -> None:
        self.keys, self.bases, self.rests = keys, bases, rests

    def __len__(self) -> int:
        return len(self.bases)

    def __getitem__(self, i: int, /) -> str:
        base = self.bases[i]
        return base + self.keys[i] if base is not None else self._rest(i)

    def __iter__(self) -> Iterator[str]:
        return map(operator.add, self.bases, self.keys) if self.rests is None else self._each()

    def _each(self) -> Iterator[str]:
        for place, (base, key) in enumerate(zip(self.bases, self.keys, strict=True)):
            yield base + key if base is not None else self._rest(place)

    def _rest(self, i: int) -> str:
        assert self.rests is not None, "a path without a base is a text"
        return self.rests[i]

    @property
    def has_one_base(self) -> bool:
        """Return whether each path is the same base and its key, so that paths and keys have the same order."""
        return self.rests is None and len(self.bases.counts()) == 1

    def take(self, places: NDArray[np.int64], keys: Texts) -> Paths:
        """Return the paths at `places`, whose keys are `keys`."""
        return Paths(keys, self.bases.take(places), None if self.rests is None else self.rests.take(places))

    def any_in(self, test: Callable[[str], bool]) -> bool:
        """Return whether `test` holds for any path; it is called with what the paths begin with, once for many."""
        return any(map(test, self.beginnings()))

    def beginnings(self) -> Iterator[str]:
        """Yield what the paths begin with, once for many: their bases, and the paths without one."""
        yield from {base for base, _ in self.bases.counts() if base}
        yield from self.rests or ()


class PathWriter:
    """Builds `Paths`."""

    def __init__(self) -> None:
        self._bases = CodeWriter[str | None]()
        self._rests: TextWriter | None = None
        self._count = 0

    def add(self, path: str, key: str) -> None:
        """Append the path of the sample `key`."""
        is_below = bool(key) and path.endswith(key)
        if self._rests is None and not is_below:
            self._rests = TextWriter()
            for _ in range(self._count):
                self._rests.add("")
        self._bases.add(path[: len(path) - len(key)] if is_below else None)
        if self._rests is not None:
            self._rests.add("" if is_below else path)
        self._count += 1

    def extend(self, paths: Sequence[str], keys: Sequence[str]) -> None:
        """Append the paths of the samples `keys`."""
        if self._rests is None and all(keys) and all(map(str.endswith, paths, keys)):
            self._bases.extend([path[: -len(key)] for path, key in zip(paths, keys, strict=True)])
            self._count += len(paths)
            return
        for path, key in zip(paths, keys, strict=True):
            self.add(path, key)

    def read(self, i: int, key: str) -> str:
        """Return path `i`, whose sample is `key`."""
        base = self._bases[i]
        if base is not None:
            return base + key
        assert self._rests is not None, "a path without a base is a text"
        return self._rests[i]

    def column(self, keys: Texts) -> Paths:
        """Return the paths; nothing may be added after that."""
        return Paths(keys, self._bases.column(), None if self._rests is None else self._rests.column())


class StoredTargets:
    """Targets as JSON, each parsed when it is read."""

    __slots__ = ("texts",)

    def __init__(self, texts: Texts) -> None:
        self.texts = texts

    @classmethod
    def of(cls, targets: Iterable[Target]) -> StoredTargets:
        """Return the column of `targets`."""
        return cls(Texts.of(json.dumps(target_record(target)) for target in targets))

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int, /) -> Target:
        return read_target(self.texts[i])

    def __iter__(self) -> Iterator[Target]:
        return map(read_target, self.texts)

    def take(self, places: NDArray[np.int64]) -> StoredTargets:
        """Return the targets at `places`, in their order."""
        return StoredTargets(self.texts.take(places))

    def counts(self) -> Iterator[tuple[Target, int]]:
        """Yield each target; they hardly repeat."""
        return ((target, 1) for target in self)

    def mapped(self, to: Callable[[Target], Any], kind: DTypeLike) -> NDArray[Any]:
        """Return `to(target)` of each target as an array of `kind`."""
        return np.fromiter(map(to, self), kind, len(self))


Targets = Coded[Target] | StoredTargets


def read_target(text: str) -> Target:
    """Return the target with this record in JSON."""
    return TARGET_FORMAT.read(text.encode(), "the target of a sample")


class TargetWriter:
    """Builds a column of targets in memory: equal ones are one object, except those of dense tasks, which hardly repeat."""

    def __init__(self) -> None:
        self._coded, self._values = CodeWriter[Target](), list[Target]()

    def add(self, target: Target) -> None:
        """Append a target."""
        if self._values or isinstance(target, _DENSE):
            self._values = self._values or list(self._coded.column())
            self._values.append(target)
        else:
            self._coded.add(target)

    def extend(self, targets: Sequence[Target]) -> None:
        """Append targets."""
        if not self._values and not any(issubclass(kind, _DENSE) for kind in set(map(type, targets))):
            self._coded.extend(targets)
            return
        for target in targets:
            self.add(target)

    def __getitem__(self, i: int, /) -> Target:
        return self._values[i] if self._values else self._coded[i]

    def column(self) -> Coded[Target]:
        """Return the targets; nothing may be added after that."""
        if self._values:
            return Coded(self._values, np.arange(len(self._values), dtype=np.uint32))
        return self._coded.column()


class Digests:
    """SHA-256 digests, `(n, 32) uint8`; zeros are an unknown one."""

    __slots__ = ("raw",)

    def __init__(self, raw: NDArray[np.uint8]) -> None:
        self.raw = raw

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, i: int, /) -> str:
        return _hex(self.raw[i].tobytes())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            part = self.raw[start : start + _AT_ONCE]
            text = part.tobytes().hex()
            each = [text[at : at + _HEX] for at in range(0, len(text), _HEX)]
            yield from each if part.any(axis=1).all() else (digest if digest != _ZEROS else "" for digest in each)

    def take(self, places: NDArray[np.int64]) -> Digests:
        """Return the digests at `places`, in their order."""
        return Digests(self.raw[places])


class DigestWriter:
    """Builds `Digests` from text in hex, or the text itself if some are shortened."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._texts: TextWriter | None = None

    def add(self, digest: str) -> None:
        """Append a digest; an empty one is unknown."""
        if self._texts is None and (len(digest) not in (0, _HEX) or digest == _ZEROS):
            texts = self._texts = TextWriter()
            for earlier in self._digests():
                texts.add(earlier)
        if self._texts is not None:
            self._texts.add(digest)
        else:
            self._raw += bytes.fromhex(digest) if digest else _UNKNOWN

    def extend(self, digests: Sequence[str]) -> None:
        """Append digests."""
        if self._texts is None and not any(digests):
            self._raw += bytes(len(_UNKNOWN) * len(digests))
            return
        for digest in digests:
            self.add(digest)

    def __getitem__(self, i: int, /) -> str:
        return self._digests()[i] if self._texts is None else self._texts[i]

    def _digests(self) -> Digests:
        return Digests(np.frombuffer(self._raw, np.uint8).reshape(-1, len(_UNKNOWN)))

    def column(self) -> Digests | Texts:
        """Return the digests; nothing may be added after that."""
        return self._digests() if self._texts is None else self._texts.column()


def _hex(raw: bytes) -> str:
    return "" if raw == _UNKNOWN else raw.hex()
