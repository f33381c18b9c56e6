"""Divide a listing of photos into parts whose digests say whether a restart may use what is finished. Pure.

Every part but the last has the same number of photos, whole batches of them, so that each photo is computed beside the same
neighbors as when all are predicted at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from raytl.batch_inference.record import StoredPart, StoredPlan
from raytl.data.manifest import listed
from raytl.errors import UserError
from raytl.sanitize import printable

PART_PHOTOS = 1024
"""Photos per part by default."""
MAX_PARTS = 100_000
_FIRST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Part:
    """The photos of one part, and the digest of their names and etags."""

    number: int
    photos: tuple[str, ...]
    digest: str

    @property
    def name(self) -> str:
        """`part-00007`."""
        return part_name(self.number)


@dataclass(frozen=True)
class Plan:
    """The parts of a batch, and `settings`: what else decides the answers, such as the digest of the model."""

    settings: Mapping[str, str]
    parts: tuple[Part, ...]

    @property
    def photos(self) -> int:
        """The number of photos."""
        return sum(len(part.photos) for part in self.parts)

    @cached_property
    def digest(self) -> str:
        """The digest of everything that decides the answers."""
        settings = (f"{name}\0{value}" for name, value in sorted(self.settings.items()))
        return _digest([*settings, *(part.digest for part in self.parts)])

    def stored(self, run: str, versions: str) -> StoredPlan:
        """Return the record of the plan; `run` and `versions` are for people."""
        parts = tuple(StoredPart(part.digest, len(part.photos), _first(part)) for part in self.parts)
        return StoredPlan(self.digest, run, versions, self.settings, parts)


def part_name(number: int) -> str:
    """Return `part-00007`."""
    return f"part-{number:05d}"


def part_photos(requested: int | None, batch: int) -> int:
    """Return the photos per part: those that were requested, or about `PART_PHOTOS` in whole batches of `batch`.

    Raises:
        UserError: those requested are not whole batches.
    """
    if requested is None:
        return -(-PART_PHOTOS // batch) * batch
    if requested < 1 or requested % batch:
        near = max(batch, round(requested / batch) * batch)
        raise UserError(
            f"--part-size: found {requested}, expected whole batches of {batch} photos, so that the answers are those of a local "
            f"predict, such as {near}"
        )
    return requested


def plan(etags: Mapping[str, str], settings: Mapping[str, str], size: int) -> Plan:
    """Return the plan of the photos in `etags` in their order, `size` in each part.

    Raises:
        UserError: there would be too many parts.
    """
    paths = tuple(etags)
    if len(paths) > size * MAX_PARTS:
        raise UserError(
            f"--part-size: {len(paths):,} photos in parts of {size:,} are {-(-len(paths) // size):,} parts, expected "
            f"{MAX_PARTS:,} at most. Use at least --part-size {-(-len(paths) // MAX_PARTS):,}"
        )
    groups = (paths[start : start + size] for start in range(0, len(paths), size))
    parts = tuple(
        Part(number, group, _digest(text for path in group for text in (path, etags[path])))
        for number, group in enumerate(groups)
    )
    return Plan({**settings, "part_size": str(size)}, parts)


def differences(now: Plan, earlier: StoredPlan) -> list[str]:
    """Return what differs from the plan that an output was begun with, a line each; none if the plans are the same."""
    if now.digest == earlier.digest:
        return []
    names = sorted(now.settings.keys() | earlier.settings.keys())
    pairs = ((name, earlier.settings.get(name, "none"), now.settings.get(name, "none")) for name in names)
    lines = [f"{name}: {_short(before)} then, {_short(after)} now" for name, before, after in pairs if before != after]
    photos = _photos_differ(now, earlier) if not any(line.startswith("part_size:") for line in lines) else []
    return [*lines, *photos] or ["its record is damaged"]


def _photos_differ(now: Plan, earlier: StoredPlan) -> list[str]:
    count = sum(part.photos for part in earlier.parts)
    pairs = enumerate(zip(now.parts, earlier.parts, strict=False))
    changed = next((i for i, (one, other) in pairs if one.digest != other.digest), None)
    if changed is None and now.photos == count:
        return []
    place = min(len(now.parts), len(earlier.parts)) - 1 if changed is None else changed
    numbers = f"{count:,} photos then, {now.photos:,} now" if count != now.photos else "other photos, or changed ones"
    return [
        f"photos: {numbers}; the first difference is in or after {part_name(place)} ({_first(now.parts[place])!r} ...)"
    ]


def problem(out: str, lines: Iterable[str]) -> str:
    """Return the error text of an output that was begun with another plan."""
    return (
        f"{out}: it was begun with another plan; expected the same photos, model and options:\n{listed(list(lines))}\n"
        "Name another --out, or start anew there with --new. To predict a prefix that still grows, list it into a manifest first."
    )


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        coded = text.encode("utf-8", "surrogateescape")
        digest.update(len(coded).to_bytes(8, "little") + coded)
    return digest.hexdigest()


def _first(part: Part) -> str:
    return part.photos[0].encode("utf-8", "backslashreplace").decode()[:_FIRST_CHARACTERS]


def _short(value: str) -> str:
    text = printable(value)
    return text if len(text) <= 80 else f"{text[:60]}..."
