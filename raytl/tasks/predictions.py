"""The answers for many photos as one value: rows, counts, a preview for the terminal, and files in the formats of the task."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic

from raytl.tasks.answers import A, Answers, OpenPhoto, OutputFormat, open_photo, output_format
from raytl.tasks.reporting import Reading, Unreadable


@dataclass(frozen=True)
class PredictionKind(Generic[A]):
    """The predictions of a task: their formats, columns of the table, and the words of the preview.

    `labels` returns the classes to count, one for each of `unit`; `preview` yields the rows under `header`.
    """

    formats: tuple[OutputFormat[A], ...]
    columns: Callable[[Answers[A]], dict[str, list[Any]]]
    labels: Callable[[Answers[A]], Iterable[str]]
    unit: str
    header: tuple[str, ...]
    preview: Callable[[Answers[A]], Iterator[tuple[str, ...]]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the formats."""
        return tuple(each.name for each in self.formats)

    def check_output(self, out: str | os.PathLike[str], format: str | None = None) -> Path:
        """Return the path, if predictions can be written there.

        Raises:
            UserError: there is no such format or ending, or something else is there.
        """
        output_format(self.formats, out, format)
        return Path(out)

    def table(self, answers: Sequence[A], classes: tuple[str, ...], reading: Reading) -> Predictions[A]:
        """Return the answers for the photos of `reading` as one value."""
        return Predictions(self, Answers(reading.paths, reading.sizes, answers, classes), reading)


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Generic[A]):
    """The answers for many photos, in the order of `paths`."""

    kind: PredictionKind[A]
    answers: Answers[A]
    reading: Reading

    @property
    def paths(self) -> tuple[str, ...]:
        """The photos."""
        return self.answers.paths

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the model."""
        return self.answers.classes

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The photos that could not be read."""
        return self.reading.unreadable

    @property
    def weights(self) -> str:
        """The digest of the model's tensors."""
        return self.reading.weights

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """The files in the input folders that are not photos, by reason."""
        return self.reading.left_out

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per row of the table."""
        columns = self.kind.columns(self.answers)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of `unit` of each class, the most frequent first."""
        return dict(Counter(self.kind.labels(self.answers)).most_common())

    @property
    def unit(self) -> str:
        """The things that `counts` counts: photos or objects."""
        return self.kind.unit

    def preview(self, count: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the first `count` rows of a table for people."""
        return self.kind.header, list(islice(self.kind.preview(self.answers), count))

    def write(self, out: str | os.PathLike[str], format: str | None = None, photo: OpenPhoto = open_photo) -> None:
        """Write them to `out`, completely or not at all; without `format`, its ending says which. `photo` opens photos for pictures.

        Raises:
            UserError: there is no such format or ending, or something else is there.
        """
        output_format(self.kind.formats, out, format).write(self.answers, Path(out), photo)

    def __repr__(self) -> str:
        counted = ", ".join(f"{number} {name}" for name, number in islice(self.counts.items(), 5))
        return f"Predictions({len(self.paths)} photos, {self.unit}: {counted or 'none'})"
