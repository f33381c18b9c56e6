"""Sort the objects of a listing into files, folder markers, and keys that cannot be files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from raytl.errors import DataError
from raytl.store.contract import ObjectInfo

_HADOOP = "_$folder$"
_NAME_BYTES = 255
_MAX_LISTED = 5
_PLAIN = re.compile(r"(?:[^/\0.][^/\0]{0,62}/)*[^/\0.][^/\0]{0,62}")
"""Keys that can be file paths at a glance: no part is empty, begins with a dot, or can have more than 252 bytes in UTF-8."""


def files_and_markers(listing: Iterable[ObjectInfo]) -> tuple[list[ObjectInfo], list[str]]:
    """Return the objects that are files, and the keys of folder markers: empty objects that tools create for folders.

    Markers are keys that end in a slash, Hadoop's `cat_$folder$`, and `cat` beside `cat/1.jpg`.
    """
    objects, markers = list[ObjectInfo](), list[str]()
    for info in listing:
        is_marker = info.size == 0 and (not info.key or info.key.endswith(("/", _HADOOP)))
        markers.append(info.key) if is_marker else objects.append(info)
    if all(info.size for info in objects):
        return objects, sorted(markers)
    above = folders(info.key for info in objects)
    markers += [info.key for info in objects if info.size == 0 and info.key in above]
    return [info for info in objects if info.size or info.key not in above], sorted(markers)


def folders(keys: Iterable[str]) -> set[str]:
    """Return every folder that contains one of these keys."""
    parents = {key.rpartition("/")[0] for key in keys} - {""}
    return parents | {"/".join(key.split("/")[:depth]) for key in parents for depth in range(1, key.count("/") + 1)}


def reject_invalid_keys(uri: str, objects: Sequence[ObjectInfo]) -> None:
    """Raise a DataError that lists the objects that cannot be files side by side, each with the reason."""
    above = folders(info.key for info in objects)
    invalid = [(info, reason) for info in objects if (reason := invalid_reason(info.key) or _doubled(info, above))]
    if not invalid:
        return
    lines = [
        f"  {_short(info.key)!r}: {reason}"
        for info, reason in sorted(invalid, key=lambda one: one[0].key)[:_MAX_LISTED]
    ]
    more = [f"  ... and {len(invalid) - _MAX_LISTED} more"] if len(invalid) > _MAX_LISTED else []
    raise DataError(
        "\n".join(
            [
                f"{uri}: {len(invalid)} of {len(objects)} keys cannot be files; expected names of at most {_NAME_BYTES} bytes "
                "between single slashes. Rename or remove these objects:",
                *lines,
                *more,
            ]
        )
    )


def invalid_reason(key: str) -> str:
    """Return the reason that this key cannot be a file path, or an empty string."""
    if _PLAIN.fullmatch(key):
        return ""
    parts = key.split("/")
    if "\0" in key:
        return "it contains a NUL character"
    if any(part in (".", "..") for part in parts):
        return "it contains '.' or '..' as a folder name"
    if not parts[-1]:
        return "it ends in a slash and is not empty"
    if "" in parts:
        return "it contains an empty folder name (it begins with a slash, or has two in a row)"
    longest = max(len(part.encode("utf-8", "surrogateescape")) for part in parts)
    return f"it contains a name of {longest} bytes" if longest > _NAME_BYTES else ""


def _doubled(info: ObjectInfo, above: set[str]) -> str:
    return f"it is an object of {info.size} bytes and also a folder of others" if info.key in above else ""


def _short(key: str) -> str:
    return key if len(key) <= 100 else f"{key[:60]}...{key[-30:]}"
