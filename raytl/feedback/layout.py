"""The objects of a feedback prefix. Only these keys are ever read, written or deleted.

photos/<sha256>.<suffix>            a photo, named by its content
records/<window>-<server>.jsonl     the kept answers of one window of one server
collections/<id>.json               images that `raytl collect` chose, and its random share
labels/<id>.json                    labels that returned
monitor/<server>.json               the state of the monitor of one server
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from raytl.data.feedback import LABELS as LABELS
from raytl.data.feedback import PHOTOS as PHOTOS
from raytl.data.feedback import SUFFIXES as SUFFIXES
from raytl.data.feedback import photo_key as photo_key

RECORDS, COLLECTIONS, MONITOR = "records/", "collections/", "monitor/"
STAMP = "%Y%m%dT%H%M%SZ"
_WINDOW = re.compile(r"records/(\d{8}T\d{6}Z)-[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.jsonl")
_STATE = re.compile(r"monitor/[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json")
_COLLECTION = re.compile(r"collections/\d{8}T\d{6}Z-[0-9a-f]{8}\.json")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def window_of(key: str) -> datetime | None:
    """Return the start of the window of a key of records; None for any other key."""
    match = _WINDOW.fullmatch(key)
    try:
        return None if match is None else datetime.strptime(match[1], STAMP).replace(tzinfo=UTC)
    except ValueError:  # no such day
        return None


def is_state(key: str) -> bool:
    """Return whether a key is that of a monitor's state."""
    return _STATE.fullmatch(key) is not None


def is_collection(key: str) -> bool:
    """Return whether a key is that of a collection."""
    return _COLLECTION.fullmatch(key) is not None


def host_token(name: str) -> str:
    """Return a name of a server as a part of a key."""
    return (_UNSAFE.sub("-", name).strip("-._") or "server")[:100]


def stamped_id(now: datetime) -> str:
    """Return a new id that sorts by time."""
    return f"{now.astimezone(UTC).strftime(STAMP)}-{secrets.token_hex(4)}"
