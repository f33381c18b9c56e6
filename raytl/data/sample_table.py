"""Hold millions of samples as a few arrays, which may be mapped from a file, and look like a sequence of `Sample`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, starmap
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from raytl.data.sample import Cells, Sample
from raytl.data.sample_columns import Digests, DigestWriter, Paths, PathWriter, Targets, TargetWriter
from raytl.data.targets import Target
from raytl.data.texts import Coded, CodeWriter, Texts, TextWriter

Places = NDArray[np.int64]
_AT_ONCE = 1 << 12
_MANY = 50_000
"""More keys are compared and sorted by Arrow, whose import takes longer than sorting fewer in Python."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SampleTable(Sequence[Sample]):
    """Samples by column; each `Sample` is built when it is read.

    `origin` returns the table in another process from its arguments; without one, the columns are sent.
    """

    keys: Texts
    paths: Paths
    targets: Targets
    splits: Coded[str | None]
    digests: Digests | Texts
    origin: tuple[Callable[..., SampleTable], tuple[Any, ...]] | None = None
    columns: Coded[Cells] | None = None
    """The values of `data.columns` and `auxiliary.columns`; None if there are no such columns."""

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> SampleTable:
        """Return `samples` as a table; a table is returned as it is."""
        if isinstance(samples, SampleTable):
            return samples
        written = TableWriter()
        for sample in samples:
            written.add(sample)
        return written.table()

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, i: int, /) -> Sample: ...
    @overload
    def __getitem__(self, i: slice, /) -> SampleTable: ...
    def __getitem__(self, i: int | slice, /) -> Sample | SampleTable:
        if isinstance(i, slice):
            return self.take(np.arange(*i.indices(len(self)), dtype=np.int64))
        i = range(len(self))[i]
        cells = () if self.columns is None else self.columns[i]
        return Sample(self.keys[i], self.paths[i], self.targets[i], self.splits[i], self.digests[i], cells)

    def __iter__(self) -> Iterator[Sample]:
        fields = (self.keys, self.paths, self.targets, self.splits, self.digests)
        return map(Sample, *fields) if self.columns is None else map(Sample, *fields, self.columns)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SampleTable | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(one == each for one, each in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SampleTable({len(self)} samples)"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin is not None:
            return self.origin
        return SampleTable, (self.keys, self.paths, self.targets, self.splits, self.digests, None, self.columns)

    def kinds(self) -> set[type]:
        """Return the types of the targets."""
        return {type(target) for target, _ in self.targets.counts()}

    def take(self, places: Places) -> SampleTable:
        """Return the samples at `places`, in their order."""
        keys = self.keys.take(places)
        return SampleTable(
            keys,
            self.paths.take(places, keys),
            self.targets.take(places),
            self.splits.take(places),
            self.digests.take(places),
            columns=None if self.columns is None else self.columns.take(places),
        )

    def where(self, is_in: NDArray[np.bool_]) -> SampleTable:
        """Return the samples for which `is_in (n,)` is True; the same table if it is for all."""
        return self if bool(is_in.all()) else self.take(np.flatnonzero(is_in))

    def of_split(self, name: str) -> SampleTable:
        """Return the samples of a split."""
        return self.where(self.splits.mapped(lambda split: split == name, np.bool_))

    def with_splits(self, splits: Coded[str | None]) -> SampleTable:
        """Return the samples with these splits."""
        return replace(self, splits=splits, origin=None)

    def with_columns(self, columns: Coded[Cells]) -> SampleTable:
        """Return the samples with these values of `data.columns`."""
        return replace(self, columns=columns, origin=None)

    def with_digests(self, digests: Digests) -> SampleTable:
        """Return the samples with these digests."""
        return replace(self, digests=digests, origin=None)

    @property
    def is_ordered(self) -> bool:
        """Return whether the keys ascend, each once."""
        if len(self) > _MANY and self.keys.is_ascii:
            return _ascends_by_arrow(self.keys)
        return all(starmap(operator.lt, pairwise(self.keys)))

    def by_key(self) -> SampleTable:
        """Return the samples in the order of their keys; equal keys stay in their order."""
        if self.is_ordered:
            return self
        if len(self) > _MANY and self.keys.is_ascii:
            return self.take(_sorted_by_arrow(self.keys))
        keys = list(self.keys)
        return self.take(np.array(sorted(range(len(self)), key=keys.__getitem__), np.int64))

    def without_paths(self) -> SampleTable:
        """Return the samples with empty paths."""
        nothing = Texts(np.zeros(0, np.uint8), np.zeros(len(self) + 1, np.int64))
        return replace(self, paths=Paths(self.keys, Coded([None], np.zeros(len(self), np.uint8)), nothing), origin=None)

    def with_base(self, base: str) -> SampleTable:
        """Return the samples with `base` and their key as their paths, which takes a byte a sample."""
        return replace(self, paths=Paths(self.keys, Coded([base], np.zeros(len(self), np.uint8)), None), origin=None)

    def with_paths(self, paths: Iterable[str]) -> SampleTable:
        """Return the samples with these paths."""
        written = PathWriter()
        for path, key in zip(paths, self.keys, strict=True):
            written.add(path, key)
        return replace(self, paths=written.column(self.keys), origin=None)


class TableWriter:
    """Builds a table sample by sample; those that were added can be read."""

    def __init__(self) -> None:
        self._keys, self._paths, self._targets = TextWriter(), PathWriter(), TargetWriter()
        self._splits, self._digests = CodeWriter[str | None](), DigestWriter()
        self._columns: CodeWriter[Cells] | None = None
        self._written = 0
        self._recent: list[tuple[str, str, Target, str | None, str, Cells]] = []
        """The last samples, which are not in the columns yet."""

    def __len__(self) -> int:
        return self._written + len(self._recent)

    def add(self, sample: Sample) -> None:
        """Append a sample."""
        self.add_row(sample.key, sample.path, sample.target, sample.split, sample.digest, sample.columns)

    def add_row(
        self, key: str, path: str, target: Target, split: str | None, digest: str = "", columns: Cells = ()
    ) -> None:
        """Append the sample with these fields."""
        self._recent.append((key, path, target, split, digest, columns))
        if len(self._recent) == _AT_ONCE:
            self._write()

    def _write(self) -> None:
        """Move the last samples to the columns: all at once takes a third of the time of one by one."""
        if self._recent:
            keys, paths, targets, splits, digests, cells = zip(*self._recent, strict=True)
            self._keys.extend(keys)
            self._paths.extend(paths, keys)
            self._targets.extend(targets)
            self._splits.extend(splits)
            self._digests.extend(digests)
            if self._columns is None and any(cells):
                self._columns = CodeWriter[Cells]()
                self._columns.extend([()] * self._written)
            if self._columns is not None:
                self._columns.extend(cells)
            self._written += len(self._recent)
            self._recent.clear()

    def __getitem__(self, i: int, /) -> Sample:
        if i >= self._written:
            return Sample(*self._recent[i - self._written])
        key = self._keys[i]
        columns = () if self._columns is None else self._columns[i]
        return Sample(key, self._paths.read(i, key), self._targets[i], self._splits[i], self._digests[i], columns)

    def table(self) -> SampleTable:
        """Return the samples; nothing may be added after that."""
        self._write()
        keys = self._keys.column()
        paths, targets = self._paths.column(keys), self._targets.column()
        columns = None if self._columns is None else self._columns.column()
        return SampleTable(keys, paths, targets, self._splits.column(), self._digests.column(), columns=columns)


def _ascends_by_arrow(keys: Texts) -> bool:
    """Return whether ASCII keys ascend, each once."""
    import pyarrow.compute

    column, last = keys.to_arrow(), len(keys) - 1
    chunks = (slice(start, min(start + _MANY, last)) for start in range(0, last, _MANY))  # one would be copied whole
    pairs = ((column[part], column[part.start + 1 : part.stop + 1]) for part in chunks)
    return all(pyarrow.compute.all(pyarrow.compute.less(*pair)).as_py() for pair in pairs)


def _sorted_by_arrow(keys: Texts) -> Places:
    """Return the stable order of ASCII keys: the order of their bytes."""
    import pyarrow.compute

    order = pyarrow.compute.array_sort_indices(keys.to_arrow())
    return np.asarray(order.to_numpy(), np.int64)
