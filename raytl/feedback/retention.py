"""Delete old windows of feedback: by age, and by bytes, the oldest first.

Photos that have labels are training data and stay. Photos that `raytl collect` chose stay for 90 days, as somebody may be
labelling them. The state of a monitor stays for as long after its last update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from raytl.data.feedback import photos_in, read_labels
from raytl.errors import RaytlError
from raytl.feedback.collection import Collection, read_collections
from raytl.feedback.layout import MONITOR, PHOTOS, RECORDS, is_state, window_of
from raytl.feedback.monitor import state_at
from raytl.feedback.record import RECORD_FORMAT
from raytl.store.contract import ObjectInfo, ObjectStore

GRACE = timedelta(days=90)
"""The time that chosen photos stay without labels, and the states of monitors without updates."""


@dataclass(frozen=True)
class StoredWindow:
    """The records of one window of one server: their key, the time it began, and the bytes of records and photos."""

    key: str
    began: datetime
    bytes: int
    photos: frozenset[str]


def expired(windows: Sequence[StoredWindow], now: datetime, days: float, max_bytes: int) -> list[StoredWindow]:
    """Return the windows to delete: those older than `days`, and the oldest of the others while all have more than `max_bytes`."""
    ordered = sorted(windows, key=lambda window: (window.began, window.key))
    old = [window for window in ordered if now - window.began > timedelta(days=days)]
    rest, total = ordered[len(old) :], sum(window.bytes for window in ordered[len(old) :])
    for window in rest:
        if total <= max_bytes:
            break
        old.append(window)
        total -= window.bytes
    return old


def _chosen_photos(collections: Iterable[Collection], now: datetime) -> tuple[set[str], set[str]]:
    """Return the photos that were chosen for labelling, and those of them that somebody may still be labelling."""
    chosen: set[str] = set()
    recent: set[str] = set()
    for each in collections:
        photos = {one.photo for one in each.chosen}
        chosen |= photos
        if now - datetime.fromisoformat(each.when) <= GRACE:
            recent |= photos
    return chosen, recent


class Retention:
    """Deletes the expired windows of a prefix; it remembers the photos of each window that it has read."""

    def __init__(self, store: ObjectStore, days: float, max_bytes: int) -> None:
        self._store, self._days, self._max_bytes = store, days, max_bytes
        self._photos: dict[str, frozenset[str]] = {}
        self._states_checked = datetime.min.replace(tzinfo=UTC)

    def apply(self, now: datetime) -> int:
        """Delete what is expired, and return the number of windows."""
        infos = {info.key: info for info in self._store.list(RECORDS) if window_of(info.key)}
        sizes = {info.key: info.size for info in self._store.list(PHOTOS)}
        self._photos = {key: self._photos.get(key) or self._read(infos[key]) for key in infos}
        places = photos_in(self._store)
        windows = [self._window(info, places, sizes) for info in infos.values()]
        gone = expired(windows, now, self._days, self._max_bytes)
        if gone:
            self._delete(gone, [window for window in windows if window not in gone], places, now)
        if now - self._states_checked >= timedelta(days=1):  # they have to be read
            self._delete_states(now)
            self._states_checked = now
        return len(gone)

    def _delete_states(self, now: datetime) -> None:
        """Delete the states of monitors of servers that ended long ago."""
        for key in [info.key for info in self._store.list(MONITOR) if is_state(info.key)]:
            state = state_at(self._store, key)
            if state is not None and now - datetime.fromisoformat(state.updated) > GRACE:
                self._store.delete(key)

    def _window(self, info: ObjectInfo, places: Mapping[str, str], sizes: Mapping[str, int]) -> StoredWindow:
        began, photos = window_of(info.key), self._photos[info.key]
        assert began is not None, "only keys of windows were listed"
        size = info.size + sum(sizes.get(places.get(digest, ""), 0) for digest in photos)
        return StoredWindow(info.key, began, size, photos)

    def _delete(
        self, gone: Iterable[StoredWindow], rest: Iterable[StoredWindow], places: Mapping[str, str], now: datetime
    ) -> None:
        """Delete the photos that no other window, no label and no recent collection refers to, then the records.

        Photos of older collections are deleted too: their windows may have expired before.
        """
        chosen, recent = _chosen_photos(read_collections(self._store), now)
        needed = {*read_labels(self._store), *recent}.union(*(window.photos for window in rest))
        for digest in chosen.union(*(window.photos for window in gone)) - needed:
            if digest in places:
                self._store.delete(places[digest])
        for window in gone:
            self._store.delete(window.key)

    def _read(self, info: ObjectInfo) -> frozenset[str]:
        """Return the photos of a window; none if its records cannot be read."""
        try:
            content = self._store.get_bytes(info.key, max_bytes=RECORD_FORMAT.max_total_bytes)
            return frozenset(record.photo for record in RECORD_FORMAT.lines(content, info.key) if record.suffix)
        except RaytlError:
            return frozenset()
