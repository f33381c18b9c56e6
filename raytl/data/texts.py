"""Columns of text and of codes: many values in a few arrays, which may be mapped from a file.

A million Python strings take a hundred bytes each, and reading one updates its reference count, which copies its page in
every forked process. The layout is that of Arrow's large binary arrays.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Bytes = NDArray[np.uint8]
T = TypeVar("T")
_AT_ONCE = 1 << 14


class Texts:
    """Strings one after the other in `data (bytes,) uint8`; string `i` ends at `ends[i + 1]`, `(n + 1,) int64`.

    File names that are not UTF-8 are kept, as surrogates.
    """

    __slots__ = ("data", "ends")

    def __init__(self, data: Bytes, ends: NDArray[np.int64]) -> None:
        self.data, self.ends = data, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Return the column of `texts`."""
        written = TextWriter()
        for text in texts:
            written.add(text)
        return written.column()

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int, /) -> str:
        i = range(len(self))[i]  # a negative one counts from the end
        return self.data[self.ends[i] : self.ends[i + 1]].tobytes().decode(errors="surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            ends = self.ends[start : start + _AT_ONCE + 1]
            yield from _split(self.data[ends[0] : ends[-1]].tobytes(), (ends - ends[0]).tolist())

    @property
    def is_ascii(self) -> bool:
        """Return whether all characters are ASCII, so that the order of bytes is that of the strings."""
        return not bool((self.data[self.ends[0] : self.ends[-1]] & 0x80).any())

    def to_arrow(self) -> Any:
        """Return the column as an Arrow array that shares its memory."""
        import pyarrow as pa

        buffers = [None, *(pa.py_buffer(np.ascontiguousarray(each)) for each in (self.ends, self.data))]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self), buffers)

    def take(self, places: NDArray[np.int64]) -> Texts:
        """Return the strings at `places`, in their order."""
        starts, lengths = self.ends[places], self.ends[places + 1] - self.ends[places]
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64, copy=False)
        data = np.empty(int(ends[-1]), np.uint8)
        for first in range(0, len(places), _AT_ONCE):  # in chunks, as an index of every byte takes eight times as much
            part = slice(first, first + _AT_ONCE)
            count, offset = lengths[part], ends[first]
            inside = np.repeat(starts[part] - (ends[first : first + len(count)] - offset), count)
            data[offset : offset + len(inside)] = self.data[inside + np.arange(len(inside))]
        return Texts(data, ends)


class Coded(Generic[T]):
    """Values of which many are equal: value `i` is `values[codes[i]]`."""

    __slots__ = ("codes", "values")

    def __init__(self, values: Sequence[T], codes: NDArray[Any]) -> None:
        self.values, self.codes = tuple(values), codes

    @classmethod
    def of(cls, column: Iterable[T]) -> Coded[T]:
        """Return the column of hashable values; equal ones of the same type have one code."""
        written, values = CodeWriter[T](), iter(column)
        while part := list(islice(values, _AT_ONCE)):
            written.extend(part)
        return written.column()

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, i: int, /) -> T:
        return self.values[int(self.codes[i])]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), _AT_ONCE):
            yield from (self.values[code] for code in self.codes[start : start + _AT_ONCE].tolist())

    def take(self, places: NDArray[np.int64]) -> Coded[T]:
        """Return the values at `places`, in their order."""
        return Coded(self.values, self.codes[places])

    def counts(self) -> list[tuple[T, int]]:
        """Return each value that occurs and how often, in the order of the codes."""
        counts = np.bincount(self.codes, minlength=len(self.values)).tolist()
        return [(value, count) for value, count in zip(self.values, counts, strict=True) if count]

    def mapped(self, to: Callable[[T], Any], kind: DTypeLike) -> NDArray[Any]:
        """Return `to(value)` of each value as an array of `kind`; `to` is called once for each value that occurs."""
        used = np.bincount(self.codes, minlength=len(self.values)) > 0
        table = np.zeros(len(self.values), kind)
        table[used] = [to(value) for value, is_used in zip(self.values, used.tolist(), strict=True) if is_used]
        return np.asarray(table[self.codes])


def _split(content: bytes, ends: list[int]) -> list[str]:
    """Return the strings between these places of `content`; ASCII is decoded once, which takes a third of the time."""
    if content.isascii():
        text = content.decode("ascii")
        return [text[one:other] for one, other in pairwise(ends)]
    return [content[one:other].decode(errors="surrogateescape") for one, other in pairwise(ends)]


class TextWriter:
    """Builds `Texts` string by string."""

    def __init__(self) -> None:
        self._data, self._ends = bytearray(), array("q", [0])
        self._recent: list[str] = []
        """The last strings, which are not encoded yet."""

    def add(self, text: str) -> None:
        """Append a string."""
        self._recent.append(text)
        if len(self._recent) == _AT_ONCE:
            self._encode()

    def extend(self, texts: Sequence[str]) -> None:
        """Append strings."""
        self._recent += texts
        if len(self._recent) >= _AT_ONCE:
            self._encode()

    def _encode(self) -> None:
        text = "".join(self._recent)
        if text.isascii():
            encoded, lengths = text.encode("ascii"), map(len, self._recent)
        else:
            parts = [each.encode(errors="surrogateescape") for each in self._recent]
            encoded, lengths = b"".join(parts), map(len, parts)
        self._ends.extend(islice(accumulate(lengths, initial=len(self._data)), 1, None))
        self._data += encoded
        self._recent.clear()

    def __getitem__(self, i: int, /) -> str:
        encoded = len(self._ends) - 1
        if i >= encoded:
            return self._recent[i - encoded]
        return self._data[self._ends[i] : self._ends[i + 1]].decode(errors="surrogateescape")

    def column(self) -> Texts:
        """Return the strings; nothing may be added after that."""
        self._encode()
        return Texts(np.frombuffer(self._data, np.uint8), np.frombuffer(self._ends, np.int64))


class CodeWriter(Generic[T]):
    """Builds `Coded` value by value."""

    def __init__(self) -> None:
        self._places: dict[T | tuple[type, T], int] = {}
        self._values: list[T] = []
        self._codes = array("I")

    def add(self, value: T) -> None:
        """Append a hashable value."""
        key = value if type(value) is str or value is None else (type(value), value)  # 1, 1.0 and True are equal
        try:
            self._codes.append(self._places[key])
        except KeyError:
            self._places[key] = len(self._values)
            self._codes.append(len(self._values))
            self._values.append(value)

    def extend(self, values: Sequence[T]) -> None:
        """Append hashable values; those that are known strings or None take a fifth of the time of `add`."""
        try:
            self._codes.extend([self._places[value] for value in values])
        except KeyError:
            for value in values:
                self.add(value)

    def __getitem__(self, i: int, /) -> T:
        return self._values[self._codes[i]]

    def column(self) -> Coded[T]:
        """Return the values; nothing may be added after that."""
        codes = np.frombuffer(self._codes, np.uint32) if self._codes else np.zeros(0, np.uint32)
        return Coded(self._values, codes.astype(smallest(len(self._values))))


def smallest(count: int) -> np.dtype[Any]:
    """Return the smallest unsigned type of the numbers below `count`."""
    return np.min_scalar_type(max(0, count - 1))
