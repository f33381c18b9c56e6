"""Read a feedback prefix that anybody may have written: records within bounds, and photos that match their names.

Nothing there selects a path or an address: the key of a photo follows from its sha256 and a known suffix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from raytl.data.decode import BadImage, load
from raytl.data.feedback import MAX_PHOTO_BYTES
from raytl.errors import DataError, NotFound, RaytlError, TooLarge
from raytl.events import Message, OnEvent, Work, ignore
from raytl.feedback.layout import RECORDS, window_of
from raytl.feedback.record import RECORD_FORMAT, Record
from raytl.store.contract import ObjectStore
from raytl.store.retry import retried

_THREADS = 16
MAX_RECORDS = 2_000_000


def read_records(store: ObjectStore, on_event: OnEvent = ignore) -> list[Record]:
    """Return every readable record, the oldest window first; objects that cannot be read are named in warnings and ignored.

    Raises:
        DataError: there are no records at all, or too many.
    """
    keys = sorted(info.key for info in retried(lambda: list(store.list(RECORDS))) if window_of(info.key))
    records: list[Record] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, part in enumerate(pool.map(lambda key: _window(store, key, on_event), keys), start=1):
            records += part
            on_event(Work("reading records", done, len(keys), "windows"))
            if len(records) > MAX_RECORDS:
                raise DataError(f"{store.uri}: more than {MAX_RECORDS:,} records; expected fewer. Delete old windows")
    if not records:
        raise DataError(
            f"{store.uri}: no records; expected the feedback of `raytl serve --feedback {store.uri}`, which writes "
            "them at the end of each window"
        )
    return records


def photos_of(
    store: ObjectStore, records: Iterable[Record], max_pixels: int, on_event: OnEvent = ignore
) -> Iterator[tuple[Record, Image.Image]]:
    """Yield each record whose photo is there, has the sha256 of its name, and can be decoded, with its upright RGB image."""
    records = list(records)
    wrong = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(records), 4 * _THREADS):
            part = records[start : start + 4 * _THREADS]
            for record, image in zip(part, pool.map(lambda each: _photo(store, each, max_pixels), part), strict=True):
                if image is None:
                    wrong += 1
                else:
                    yield record, image
    if wrong:
        on_event(
            Message(
                f"{store.uri}: {wrong} photos are ignored: they are missing, cannot be decoded, or their content is not that "
                "of their names",
                "warning",
            )
        )


def _window(store: ObjectStore, key: str, on_event: OnEvent) -> list[Record]:
    where = f"{store.uri}/{key}"
    try:
        content = retried(lambda: store.get_bytes(key, max_bytes=RECORD_FORMAT.max_total_bytes))
        return list(RECORD_FORMAT.lines(content, where, on_event))
    except (DataError, NotFound, TooLarge) as error:
        on_event(Message(f"ignored unreadable records: {error}", "warning"))
        return []


def _photo(store: ObjectStore, record: Record, max_pixels: int) -> Image.Image | None:
    try:
        content = retried(lambda: store.get_bytes(record.key, max_bytes=MAX_PHOTO_BYTES))
    except RaytlError:
        return None
    if hashlib.sha256(content).hexdigest() != record.photo:
        return None
    try:
        return load(content, max_pixels).rgb()
    except BadImage:
        return None
