"""Names in one Unicode form, NFC: file systems, archives and tables store the same name in different forms.

Source: unicode.org/reports/tr15. macOS writes the accents of file names apart (NFD), Linux and S3 keep what they are given.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from unicodedata import category, normalize

from raytl.errors import DataError


def nfc(text: str) -> str:
    """Return the text with its accents composed."""
    return text if text.isascii() else normalize("NFC", text)


def forms(text: str) -> set[str]:
    """Return the spellings under which a store may hold this key: as it is, composed (NFC) and decomposed (NFD)."""
    return {text} if text.isascii() else {text, nfc(text), normalize("NFD", text)}


def member_path(name: str) -> str:
    """Return the name of an archive's member as a posix path in NFC, without detours such as `./`."""
    return nfc(PurePosixPath(name.replace("\\", "/")).as_posix())


class Spellings:
    """Remembers how the members of an archive are spelt, to tell two files that have one name in NFC."""

    def __init__(self) -> None:
        self._raw: dict[str, str] = {}

    def clash(self, name: str) -> str:
        """Return why this name cannot stand beside the earlier ones; empty if it can, or is one of them."""
        raw = PurePosixPath(name.replace("\\", "/")).as_posix()
        other = self._raw.setdefault(nfc(raw), raw)
        return "" if other == raw else f"is {raw!a}, which is {other!a} in another Unicode form: rename one of them"


def folded(label: str) -> str:
    """Return the label without what people overlook: case, blanks, invisible characters, wide and narrow letters."""
    visible = "".join(char for char in normalize("NFKC", label) if category(char) != "Cf")
    return " ".join(visible.casefold().split())


def nearly_equal(labels: Iterable[str]) -> list[str]:
    """Return one line for each group of class names that differ in case, blanks or invisible characters only."""
    counts = Counter(labels)
    groups: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        groups[folded(label)].append(label)
    return [
        f"{len(group)} class names are nearly the same: "
        f"{', '.join(f'{_told(label)} ({counts[label]} images)' for label in group)}; "
        "rename one if they are meant to be one class"
        for group in groups.values()
        if len(group) > 1
    ]


def _told(label: str) -> str:
    """Return the label quoted; its invisible characters are escaped."""
    return ascii(label) if any(category(char) == "Cf" for char in label) else repr(label)


class Lookup:
    """Finds files whose names are stored in another Unicode form than they are asked for; lists each folder once."""

    def __init__(self) -> None:
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, path: str) -> str | None:
        """Return the path of the file as it is stored, or None where no form of it exists.

        Raises:
            DataError: the folder holds the name in two forms, and neither is the one asked for.
        """
        if os.path.exists(path):  # noqa: PTH110 - False for names that are too long
            return path
        parent, name = os.path.split(path)
        folder = None if path.isascii() or not name else self.find(parent or ".")
        stored = self._listing(folder).get(nfc(name), []) if folder else []
        if len(stored) > 1:
            raise DataError(
                f"{folder}: {stored[0]!a} and {stored[1]!a} are one name in two Unicode forms; expected one. Rename one."
            )
        return str(Path(folder, stored[0])) if folder and stored else None

    def _listing(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._listings:
            found = self._listings.setdefault(folder, {})
            with suppress(OSError):
                for path in Path(folder).iterdir():
                    found.setdefault(nfc(path.name), []).append(path.name)
        return self._listings[folder]
