"""Normalize names to one Unicode form, NFC: file systems, archives and tables store the same name in different forms.

Source: unicode.org/reports/tr15. macOS decomposes the accents of file names (NFD); Linux and S3 keep them unchanged.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from unicodedata import category, normalize

from raytl.errors import DataError


def nfc(text: str) -> str:
    """Return the text in NFC, with its accents composed."""
    return text if text.isascii() else normalize("NFC", text)


def unicode_forms(text: str) -> set[str]:
    """Return the forms in which a store may hold this key: unchanged, composed (NFC) and decomposed (NFD)."""
    return {text} if text.isascii() else {text, nfc(text), normalize("NFD", text)}


def member_path(name: str) -> str:
    """Return the name of an archive member as a normalized posix path in NFC, without `./`."""
    return nfc(PurePosixPath(name.replace("\\", "/")).as_posix())


class Spellings:
    """Records the spelling of archive members, to detect two files with the same name in NFC."""

    def __init__(self) -> None:
        self._raw: dict[str, str] = {}

    def clash(self, name: str) -> str:
        """Return the conflict of this name with an earlier one; empty if there is none, or it is the same name."""
        raw = PurePosixPath(name.replace("\\", "/")).as_posix()
        other = self._raw.setdefault(nfc(raw), raw)
        return (
            ""
            if other == raw
            else f"is {raw!a}, the same name as {other!a} in another Unicode form: rename one of them"
        )


def folded(label: str) -> str:
    """Return the label without differences that people overlook: case, whitespace, invisible and full-width characters."""
    visible = "".join(char for char in normalize("NFKC", label) if category(char) != "Cf")
    return " ".join(visible.casefold().split())


def nearly_equal(labels: Iterable[str] | Mapping[str, int]) -> list[str]:
    """Return a warning per group of class names that differ only in case, whitespace or invisible characters.

    `labels` has the name of each image, or the number of images by name.
    """
    counts = Counter(labels)
    groups: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        groups[folded(label)].append(label)
    return [
        f"{len(group)} class names are nearly identical: "
        f"{', '.join(f'{_quoted(label)} ({counts[label]} images)' for label in group)}; "
        "rename them if they are meant to be one class"
        for group in groups.values()
        if len(group) > 1
    ]


def _quoted(label: str) -> str:
    """Return the label quoted, with invisible characters escaped."""
    return ascii(label) if any(category(char) == "Cf" for char in label) else repr(label)


class Lookup:
    """Finds files whose stored name has another Unicode form than the given one; lists each folder once."""

    def __init__(self) -> None:
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, path: str) -> str | None:
        """Return the stored path of the file, or None if it exists in no form.

        Raises:
            DataError: the folder holds the name in two other forms.
        """
        if os.path.exists(path):  # noqa: PTH110 - False for names that are too long
            return path
        parent, name = os.path.split(path)
        folder = None if path.isascii() or not name else self.find(parent or ".")
        stored = self._listing(folder).get(nfc(name), []) if folder else []
        if len(stored) > 1:
            raise DataError(
                f"{folder}: {stored[0]!a} and {stored[1]!a} are the same name in two Unicode forms; expected one. Rename one of them."
            )
        return str(Path(folder, stored[0])) if folder and stored else None

    def _listing(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._listings:
            names = self._listings.setdefault(folder, {})
            with suppress(OSError):
                for path in Path(folder).iterdir():
                    names.setdefault(nfc(path.name), []).append(path.name)
        return self._listings[folder]
