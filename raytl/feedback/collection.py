"""Store what `raytl collect` chose in `collections/`: its random share gives unbiased estimates once labels are there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Literal

from raytl.errors import DataError, NotFound, TooLarge
from raytl.events import Message, OnEvent, ignore
from raytl.feedback.layout import COLLECTIONS, is_collection, stamped_id
from raytl.store.contract import ObjectStore
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import Digest, Moment, Name, at_most, within

MAX_CHOSEN = 100_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image to label: `suggested` is what the model `version` answered at `time`, a part of what identifies the answer.

    `weight` is the number of answers that an image of the random share stands for, and 0 for all others.
    """

    photo: Digest
    suggested: Name
    version: Name
    time: Moment
    why: Literal["random", "uncertain", "unfamiliar"]
    weight: Annotated[float, within(0, 1e15)] = 0.0


@dataclass(frozen=True, slots=True)
class Collection:
    """The images chosen in one call, from whom and when; `population` is the number of answers that its share was drawn from."""

    format: Literal[1]
    who: Name
    when: Moment
    chosen: Annotated[tuple[Chosen, ...], at_most(MAX_CHOSEN, "images")] = ()

    @property
    def random_images(self) -> tuple[Chosen, ...]:
        """The random share."""
        return tuple(each for each in self.chosen if each.weight > 0)


COLLECTION_FORMAT = Format[Collection](
    Collection,
    "a collection of images to label",
    "The object was damaged or edited: delete it.",
    DataError,
    max_bytes=64 << 20,
)


def write_collection(store: ObjectStore, who: str, now: datetime, chosen: Iterable[Chosen]) -> str:
    """Store a collection and return its key."""
    value = asdict(Collection(1, who, now.isoformat(timespec="seconds"), tuple(chosen)))
    key = f"{COLLECTIONS}{stamped_id(now)}.json"
    content = json.dumps(value, allow_nan=False).encode()
    retried(lambda: store.put_bytes(key, content))
    return key


def read_collections(store: ObjectStore, on_event: OnEvent = ignore) -> list[Collection]:
    """Return every readable collection, oldest first; damaged ones are named in warnings.

    Raises:
        StoreError: the store cannot be read.
    """
    keys = sorted(info.key for info in retried(lambda: list(store.list(COLLECTIONS))) if is_collection(info.key))
    return [each for key in keys if (each := _collection_at(store, key, on_event)) is not None]


def _collection_at(store: ObjectStore, key: str, on_event: OnEvent) -> Collection | None:
    try:
        content = retried(lambda: store.get_bytes(key, max_bytes=COLLECTION_FORMAT.max_bytes))
        return COLLECTION_FORMAT.read(content, f"{store.uri}/{key}")
    except (DataError, NotFound, TooLarge) as error:
        on_event(Message(f"ignored an unreadable collection: {error}", "warning"))
        return None
