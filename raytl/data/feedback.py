"""Labels and photos of a feedback prefix. Anybody who can write into it may have written what is there.

A label names its photo by the sha256 of its bytes, so the key of the photo follows from it and nothing selects a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.events import Message, OnEvent, ignore
from raytl.store.contract import ObjectStore
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import Bound, Digest, Moment, Name, at_least, at_most

PHOTOS, LABELS = "photos/", "labels/"
KEYS = "feedback/"
"""Keys of samples begin with it."""
SUFFIXES = ("jpg", "png", "webp", "gif", "bmp", "tif", "avif", "heic", "jp2", "ppm", "pgm", "pbm")
MAX_LABELS = 1_000_000
MAX_PHOTO_BYTES = 64 << 20
_LABELS_KEY = re.compile(r"labels/\d{8}T\d{6}Z-[0-9a-f]{8}\.json")
_PHOTO_KEY = re.compile(rf"photos/([0-9a-f]{{64}})\.({'|'.join(SUFFIXES)})")


@dataclass(frozen=True, slots=True)
class Label:
    """The class of a photo, which is named by its sha256."""

    photo: Digest
    label: Annotated[Name, at_least(1, "character"), Bound("a name without line breaks", str.isprintable)]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels that returned together, from whom and when."""

    format: Literal[1]
    who: Name
    when: Moment
    labels: Annotated[tuple[Label, ...], at_most(MAX_LABELS, "labels")] = field(default=())


LABELS_FORMAT = Format[Labels](
    Labels,
    "labels of feedback",
    "The object was damaged or edited: delete it, and return the labels again.",
    DataError,
    max_bytes=256 << 20,
)


def photo_key(digest: str, suffix: str) -> str:
    """Return the key of a photo below the prefix."""
    return f"{PHOTOS}{digest}.{suffix}"


def is_feedback(key: str) -> bool:
    """Return whether the key of a sample is that of a labelled feedback image."""
    return key.startswith(KEYS)


def read_labels(store: ObjectStore, on_event: OnEvent = ignore) -> dict[str, str]:
    """Return the newest label of each photo, by sha256; unreadable objects are named in a warning and ignored."""
    return {label.photo: nfc(label.label) for each in all_labels(store, on_event) for label in each.labels}


def all_labels(store: ObjectStore, on_event: OnEvent = ignore) -> list[Labels]:
    """Return every readable object of labels, oldest first; the others are named in warnings."""
    keys = sorted(info.key for info in retried(lambda: list(store.list(LABELS))) if _LABELS_KEY.fullmatch(info.key))
    return [each for key in keys if (each := _labels_at(store, key, on_event)) is not None]


def photos_in(store: ObjectStore) -> dict[str, str]:
    """Return the key of each photo by its sha256."""
    infos = retried(lambda: list(store.list(PHOTOS)))
    matches = ((info, _PHOTO_KEY.fullmatch(info.key)) for info in infos if info.size <= MAX_PHOTO_BYTES)
    return {match[1]: info.key for info, match in matches if match is not None}


def _labels_at(store: ObjectStore, key: str, on_event: OnEvent) -> Labels | None:
    where = f"{store.uri}/{key}"
    try:
        content = retried(lambda: store.get_bytes(key, max_bytes=LABELS_FORMAT.max_bytes))
        return LABELS_FORMAT.read(content, where, on_event)
    except DataError as error:
        on_event(Message(f"ignored unreadable labels: {error}", "warning"))
        return None
