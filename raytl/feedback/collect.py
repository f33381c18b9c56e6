"""Choose the images of a feedback prefix to label: a random share for unbiased estimates, and the rest by uncertainty and diversity.

Images that are labelled, in training or in the test set, and near copies of those and of each other are not chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.data.feedback import photos_in, read_labels
from raytl.data.perceptual_hash import nearest, phash
from raytl.errors import DataError
from raytl.events import OnEvent, Work, ignore
from raytl.feedback.choose import ranked_rows, uncertainty_of
from raytl.feedback.collection import Chosen, read_collections
from raytl.feedback.reading import photos_of, read_records
from raytl.feedback.record import Record
from raytl.store.contract import ObjectStore

_MOST_COMPARED = 50_000
_MOST_LABELLED = 5_000
_UNFAMILIAR = 0.5
"""The least uncertainty of an unfamiliar image, whose confidence says little."""
_THUMBNAIL_PX = 192


@dataclass(frozen=True)
class Excluded:
    """Images that need no label: the `digests` of training, validation and test, and their perceptual `hashes`."""

    digests: frozenset[str] = frozenset()
    hashes: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Pick:
    """An image to label: its record, a `thumbnail`, and the answers that it stands for, 0 if it is not of the random share."""

    record: Record
    thumbnail: Image.Image
    weight: float = 0.0

    @property
    def why(self) -> str:
        """The reason in a word."""
        if self.weight:
            return "random"
        return "unfamiliar" if "unfamiliar" in self.record.flags else "uncertain"

    def chosen(self) -> Chosen:
        """Return the pick as a collection stores it."""
        record = self.record
        why = "random" if self.weight else self.why
        return Chosen(record.photo, record.label, record.version, record.time, why, self.weight)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Picked:
    """The images to label, and images of the random share that have a label already; `records` is how many answers were kept."""

    picks: tuple[Pick, ...]
    labelled_share: tuple[Pick, ...]
    records: int
    left_out: Mapping[str, int] = field(default_factory=dict)


def pick(
    store: ObjectStore,
    budget: int,
    random_share: float,
    excluded: Excluded = Excluded(),
    max_pixels: int = 64_000_000,
    on_event: OnEvent = ignore,
    seed: int | None = None,
) -> Picked:
    """Return at most `budget` images of the prefix to label, of which the fraction `random_share` is drawn at random.

    Raises:
        DataError: the prefix has no records.
        StoreError: it cannot be read.
    """
    records = read_records(store, on_event)
    photos, labels = photos_in(store), read_labels(store, on_event)
    collections = read_collections(store, on_event)
    there = [each for each in records if each.suffix and photos.get(each.photo) == each.key]
    fresh = [each for each in there if each.photo not in excluded.digests]
    if not fresh:
        raise DataError(
            f"{store.uri}: of {len(records):,} recorded answers, {len(records) - len(there):,} have no stored photo, and the "
            f"photos of {len(there):,} are in the model's own data; expected new photos. "
            + ("Wait for more answers" if there else "Check the redaction command of the server")
        )
    search = _Search(store, excluded, labels, max_pixels, on_event, np.random.default_rng(seed))
    search.add_labelled(there)
    drawn = {(each.photo, each.time) for collection in collections for each in collection.random_images}
    pool = [each for each in fresh if each.why == "random" and (each.photo, each.time) not in drawn]
    drawn_now = search.random_share(pool, round(budget * random_share))
    waiting = {each.photo for collection in collections for each in collection.chosen} - labels.keys()
    rest = search.doubtful(_distinct(fresh, labels.keys() | waiting), budget - len(drawn_now[0]))
    left_out = {
        "without a photo": len(records) - len(there),
        "in training or test": len(there) - len(fresh),
        "like another": search.copies,
    }
    return Picked(
        (*drawn_now[0], *rest), tuple(drawn_now[1]), len(records), {name: n for name, n in left_out.items() if n}
    )


def _distinct(records: Iterable[Record], without: Iterable[str]) -> list[Record]:
    """Return the last record of each photo that is not among `without`."""
    left_out = set(without)
    return list({each.photo: each for each in records if each.photo not in left_out}.values())


class _Search:
    """Chooses images one by one; it remembers what they look like, so that no near copy is chosen."""

    def __init__(
        self,
        store: ObjectStore,
        excluded: Excluded,
        labels: Mapping[str, str],
        max_pixels: int,
        on_event: OnEvent,
        rng: np.random.Generator,
    ) -> None:
        self._store, self._labels, self._max_pixels = store, labels, max_pixels
        self._on_event, self._rng = on_event, rng
        self._trained, self._hashes = excluded.hashes, list[int]()
        self._features: list[NDArray[np.float32]] = []
        self._chosen: set[str] = set()
        self.copies = 0

    def add_labelled(self, records: Iterable[Record]) -> None:
        """Remember what labelled images look like."""
        labelled = {each.photo: each for each in records if each.photo in self._labels}
        self._features += [each.vector for each in labelled.values()]
        recent = list(labelled.values())[-_MOST_LABELLED:]
        self._hashes += [phash(image) for _, image in photos_of(self._store, recent, self._max_pixels)]

    def random_share(self, pool: Sequence[Record], count: int) -> tuple[list[Pick], list[Pick]]:
        """Return a random share of `pool` of which `count` images need a label, and its images that have one.

        Only copies of training and test images are left out of it, so that it stands for all answers to new images.
        """
        order = [pool[i] for i in self._rng.permutation(len(pool)).tolist()]
        picks: list[Pick] = []
        labelled: list[Pick] = []
        taken = 0
        needs_no_label: set[str] = set(self._labels)
        for record, image in photos_of(self._store, order if count else [], self._max_pixels, self._on_event):
            if len(picks) >= count:
                break
            if self._is_trained(value := phash(image)):
                self.copies += 1
                continue
            taken += 1
            is_known = record.photo in needs_no_label
            (labelled if is_known else picks).append(Pick(record, _small(image), 1 / max(record.inclusion, 1e-9)))
            needs_no_label.add(record.photo)
            self._remember(record, value)
        factor = max(1.0, len(pool) / max(1, taken))
        return [_scaled(each, factor) for each in picks], [_scaled(each, factor) for each in labelled]

    def doubtful(self, records: Sequence[Record], count: int) -> list[Pick]:
        """Return `count` images by uncertainty and diversity, far from those chosen or labelled."""
        records = [each for each in records if each.photo not in self._chosen]
        uncertainty = _uncertainty(records)
        if len(records) > _MOST_COMPARED:
            places = np.argsort(-uncertainty, kind="stable")[:_MOST_COMPARED]
            records, uncertainty = [records[i] for i in places.tolist()], uncertainty[places]
        rows = ranked_rows(
            _table(records),
            uncertainty,
            count,
            _known_table(self._features, records),
            int(self._rng.integers(2**31)),
        )
        picks: list[Pick] = []
        for record, image in photos_of(self._store, [records[i] for i in rows], self._max_pixels, self._on_event):
            if len(picks) >= count:
                break
            value = phash(image)
            if self._is_trained(value) or nearest([value], self._hashes)[0] is not None:
                self.copies += 1
                continue
            picks.append(Pick(record, _small(image)))
            self._remember(record, value)
            self._on_event(Work("choosing images", len(picks), count))
        return picks

    def _is_trained(self, value: int) -> bool:
        return nearest([value], self._trained)[0] is not None

    def _remember(self, record: Record, value: int) -> None:
        self._hashes.append(value)
        self._features.append(record.vector)
        self._chosen.add(record.photo)


def _scaled(each: Pick, factor: float) -> Pick:
    return Pick(each.record, each.thumbnail, each.weight * factor)


def _uncertainty(records: Sequence[Record]) -> NDArray[np.float64]:
    uncertainty = uncertainty_of([each.margin for each in records]) + 1e-6
    strange = np.array(["unfamiliar" in each.flags for each in records], np.bool_)
    return np.where(strange, np.maximum(uncertainty, _UNFAMILIAR), uncertainty)


def _table(records: Sequence[Record]) -> NDArray[np.float32]:
    """Return the features of the records, `(n, d)`; d = 0 if they are not all of one length, as those of two models are not."""
    vectors = [each.vector for each in records]
    if len({len(vector) for vector in vectors}) != 1:
        return np.zeros((len(records), 0), np.float32)
    return np.stack(vectors)


def _known_table(vectors: Sequence[NDArray[np.float32]], records: Sequence[Record]) -> NDArray[np.float32] | None:
    width = len(records[0].vector) if records else 0
    fitting = [vector for vector in vectors if len(vector) == width > 0]
    return np.stack(fitting) if fitting else None


def _small(image: Image.Image) -> Image.Image:
    """Return a thumbnail."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    return small
