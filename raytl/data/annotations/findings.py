"""Collect what is wrong with annotations, what was dropped and what was clipped, with the first places of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from raytl.data.manifest import Note, listed
from raytl.errors import DataError

MAX_LISTED = 10


class Findings:
    """Problems and notes by kind. Problems are errors; bad objects are errors or notes, by `annotations.on_bad_box`."""

    def __init__(self, *, drop_bad: bool = False) -> None:
        self.warnings: list[str] = []
        self._drop_bad = drop_bad
        self._problems = _Kinds()
        self._bad = _Kinds()
        self._clipped = _Kinds()
        self._dropped = _Kinds()

    def problem(self, kind: str, place: str) -> None:
        """Record a problem that makes the dataset unusable."""
        self._problems.add(kind, place)

    def bad(self, kind: str, place: str) -> None:
        """Record an object that cannot be used: dropped, or an error."""
        (self._dropped if self._drop_bad else self._bad).add(kind, place)

    def dropped(self, kind: str, place: str) -> None:
        """Record an object that was left out by a rule."""
        self._dropped.add(kind, place)

    def clipped(self, kind: str, place: str) -> None:
        """Record an object that was cut to the image."""
        self._clipped.add(kind, place)

    def check(self, uri: str, subject: str = "the annotations") -> None:
        """Raise a DataError that lists all problems of the `subject`, if there are any."""
        parts = [*self._problems.lines()]
        if bad := [*self._bad.lines()]:
            parts += [*bad, "Correct these objects, or set annotations.on_bad_box: drop to leave them out."]
        if parts:
            raise DataError(f"{uri}: {subject} cannot be used\n" + "\n".join(parts))

    def notes(self) -> tuple[Note, ...]:
        """Return what was dropped and clipped, as values."""
        return (*self._dropped.notes("dropped"), *self._clipped.notes("clipped"))


def note_lines(notes: tuple[Note, ...]) -> list[str]:
    """Return one warning for each note."""
    return [
        f"{note.count} objects {note.action}: {note.reason}\n{listed(note.examples, 3, note.count)}" for note in notes
    ]


class _Kinds:
    """Places by kind: the count of each kind, and its first places."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._places: Mapping[str, list[str]] = defaultdict(list)

    def add(self, kind: str, place: str) -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_LISTED:
            self._places[kind].append(place)

    def lines(self) -> list[str]:
        return [
            f"{count} {kind}:\n{listed(self._places[kind], MAX_LISTED, count)}" for kind, count in self._counts.items()
        ]

    def notes(self, action: str) -> list[Note]:
        return [Note(action, kind, count, tuple(self._places[kind])) for kind, count in self._counts.items()]
