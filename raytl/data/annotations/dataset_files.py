"""Find the images and annotation files of a dataset on this node, and read the latter within bounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from raytl.data.annotations.mask_folders import is_mask
from raytl.data.decode import local_bytes
from raytl.data.formats.skip_rules import skip_reason
from raytl.data.formats.split_folders import read_name
from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.stored.document import parse
from raytl.stored.fault import Fault

MAX_BYTES = 2 << 30
"""Size limit of one annotation file."""


@dataclass(frozen=True)
class DatasetFiles:
    """The files below `root` by their keys (posix paths); errors call the dataset `uri`."""

    root: Path
    uri: str
    keys: tuple[str, ...]

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Return the keys of the images."""
        return tuple(key for key in self.keys if not skip_reason(key))

    def ending(self, *suffixes: str) -> list[str]:
        """Return the keys of visible files with one of these suffixes, sorted."""
        visible = (key for key in self.keys if key.lower().endswith(suffixes))
        return sorted(key for key in visible if not PurePosixPath(key).name.startswith("."))

    def path(self, key: str) -> str:
        """Return the file of a key on this node."""
        return f"{self.root}/{key}"

    def content(self, key: str) -> bytes:
        """Return the bytes of an annotation file.

        Raises:
            DataError: it cannot be read, or is too large.
        """
        path = Path(self.path(key))
        try:
            if (size := path.stat().st_size) > MAX_BYTES:
                raise DataError(
                    f"{self.uri}: {key}: {size:,} bytes; expected an annotation file of at most {MAX_BYTES:,}"
                )
            return path.read_bytes()
        except OSError as exc:
            raise DataError(f"{self.uri}: {key}: cannot be read ({exc.strerror or exc})") from exc

    def image_bytes(self, key: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            BadImage: it cannot be read, or is too large.
        """
        return local_bytes(self.path(key))

    def text(self, key: str) -> str:
        """Return the text of an annotation file.

        Raises:
            DataError: it cannot be read, or is not UTF-8.
        """
        content = self.content(key)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            line = content[: exc.start].count(b"\n") + 1
            raise DataError(f"{self.uri}: {key}:{line}: not UTF-8 text; expected UTF-8. Save it as UTF-8") from exc

    def json(self, key: str) -> Any:
        """Return the value in a JSON file.

        Raises:
            DataError: it cannot be read, or is not JSON.
        """
        try:
            return parse(self.content(key))
        except Fault as fault:
            raise DataError(f"{self.uri}: {key}: {fault}. Correct the file") from fault

    def image_named(self, name: str, near: str, split: str | None = None) -> str | None:
        """Return the image that an annotation at `near` calls `name`: at that path from its folder or from the root, else the one
        whose path ends in it; of several, the nearest, or the one in a folder of the split."""
        wanted = nfc(name.strip().replace("\\", "/")).removeprefix("./")
        folder = near.rpartition("/")[0]
        for candidate in (f"{folder}/{wanted}" if folder else wanted, wanted):
            if candidate in self._by_key:
                return self._by_key[candidate]
        matches = self._by_name.get(wanted.rpartition("/")[2], [])
        inside = [key for key in matches if f"/{nfc(key)}".endswith(f"/{wanted}")]
        return nearest(inside or matches, near, split)

    def image_of_stem(self, near: str) -> str | None:
        """Return the image with the stem of the annotation file `near`; of several, the nearest."""
        return nearest(self._by_stem.get(nfc(PurePosixPath(near).stem), []), near)

    @cached_property
    def _by_key(self) -> dict[str, str]:
        return {nfc(key): key for key in self.images}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _grouped((nfc(key.rpartition("/")[2]), key) for key in self.images)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped((nfc(PurePosixPath(key).stem), key) for key in self.images)


def nearest(keys: Sequence[str], near: str, split: str | None = None) -> str | None:
    """Return the key whose folders agree most with those of `near`; None if there is none, or two agree equally."""
    if len(keys) > 1:
        keys = [key for key in keys if not is_mask(key)] or keys
    if len(keys) < 2:
        return keys[0] if keys else None
    folders = _folders(near)
    scores = {key: (sum((_folders(key) & folders).values()), split_of(key) == split) for key in keys}
    best = max(scores.values())
    first, *others = [key for key in keys if scores[key] == best]
    return None if others else first


def split_of(key: str) -> str | None:
    """Return the split that a folder of the key indicates; of several, the innermost."""
    return next((split for part in reversed(key.split("/")[:-1]) if (split := read_name(part).split)), None)


def _folders(key: str) -> Counter[str]:
    return Counter(part.lower() for part in key.split("/")[:-1])


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, key in pairs:
        groups[name].append(key)
    return groups
