"""Decide by name which files are not samples, and why; shared by every layout and by `predict`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.manifest import listed

SYSTEM = "system files"
HIDDEN = "hidden files"
NOT_IMAGES = "files that are not images"
LOOSE = "images outside any class folder"

# Written by file managers, archivers, notebooks, version control, NAS boxes and snapshots; lower case.
_SYSTEM_NAMES = frozenset(
    {"__macosx", "@eadir", "__pycache__", "lost+found", "$recycle.bin", "system volume information", "thumbs.db"}
    | {
        "desktop.ini",
        ".ds_store",
        ".appledouble",
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        ".thumbnails",
        ".thumbs",
    }
    | {".@__thumb", ".picasaoriginals", ".ipynb_checkpoints", ".git", ".svn", ".hg", ".dvc", ".cache", ".snapshot"}
    | {".snapshots", ".zfs", ".idea", ".vscode", "_success", ".huggingface", "#recycle", "@recycle"}
)


def is_system(name: str) -> bool:
    """Return whether a tool writes files or folders of this name: AppleDouble files, trash, caches, thumbnails."""
    lower = name.lower()
    return lower in _SYSTEM_NAMES or name.startswith("._") or lower.startswith(".trash-") or lower.endswith("_$folder$")


def skip_reason(key: str) -> str:
    """Return why the file at this posix path is not a sample, or an empty string for an image.

    A dot folder is a class like any other (`.22 LR`) unless it is a known system folder.
    """
    parts = key.rstrip("/").split("/")  # pathlib takes three times as long for millions of keys
    if any(map(is_system, parts)):
        return SYSTEM
    if parts[-1].startswith("."):
        return HIDDEN
    _, dot, ending = parts[-1].rpartition(".")
    return "" if f"{dot}{ending.lower()}" in IMAGE_SUFFIXES else NOT_IMAGES


def by_reason(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the skipped files, sorted, by reason; images among them are outside any class folder."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for key in sorted(keys):
        reasons[skip_reason(key) or LOOSE].append(key)
    return dict(reasons)


def left_out(keys: Iterable[str]) -> list[str]:
    """Return one line per reason to skip files among `keys`, with their number and the first three names."""
    return reason_lines(by_reason(keys))


def reason_lines(skipped: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line per reason, with the number of skipped files and the first three names."""
    return [
        f"{len(files)} {reason} left out:\n{listed([repr(each) for each in files], 3)}"
        for reason, files in sorted(skipped.items())
    ]
