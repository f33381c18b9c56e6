"""Labels that return as CSV: checked as a whole, then stored in the prefix with who returned them and when."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from raytl.data.feedback import LABELS, MAX_LABELS, Label, Labels, photos_in, read_labels
from raytl.data.manifest import listed
from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.feedback.collection import read_collections
from raytl.feedback.estimate import AccuracyInUse, estimates
from raytl.feedback.layout import stamped_id
from raytl.store.contract import ObjectStore
from raytl.store.retry import retried

COLUMNS = ("photo", "label")
_MAX_BYTES = 256 << 20
_MAX_NAME = 200


@dataclass(frozen=True)
class ReturnedLabels:
    """The result of returned labels: images `labelled` now, how many of them had another label before (`relabelled`), rows left `blank`, `new_classes` that
    nobody labelled or predicted before, and the estimates of the accuracy in use. `key` is that of the stored object.

    `deleted` rows have chosen photos that the prefix no longer has: their labels count for the accuracy, not for training.
    """

    key: str
    labelled: int
    relabelled: int
    blank: int
    new_classes: tuple[str, ...]
    estimates: tuple[AccuracyInUse, ...]
    deleted: int = 0


def return_labels(
    store: ObjectStore,
    file: Path,
    who: str,
    now: datetime,
    classes: Some[str] = (),
    on_event: OnEvent = ignore,
) -> ReturnedLabels:
    """Check the labels in the CSV `file`, store them, and estimate the accuracy of the models in use.

    `classes` are those that are known beside the classes of earlier labels and of the collected answers.

    Raises:
        DataError: the file cannot be read, names photos that the prefix does not have and that were never chosen, or gives one
            photo two labels; every problem at once, and nothing is stored.
    """
    rows = list(_rows(file))
    given = [(photo, label) for _, photo, label in rows if label]
    photos, collections, before = photos_in(store), read_collections(store, on_event), read_labels(store, on_event)
    chosen = {each.photo for collection in collections for each in collection.chosen}
    _check(file, rows, photos.keys() | chosen)
    labels = dict(given)
    if not labels:
        raise DataError(f"{file}: no row has a label; expected a class in the column label. Fill it in")
    suggested = {each.suggested for collection in collections for each in collection.chosen}
    named_before = {*classes, *suggested, *before.values()}
    key = _store(store, labels, who, now)
    drawn = [each for collection in collections for each in collection.random_images]
    return ReturnedLabels(
        key=key,
        labelled=len(labels),
        relabelled=sum(before.get(photo, label) != label for photo, label in labels.items()),
        blank=sum(not label for _, _, label in rows),
        new_classes=tuple(sorted({*labels.values()} - named_before)),
        estimates=tuple(estimates(drawn, {**before, **labels})),
        deleted=sum(photo not in photos for _, photo, _ in rows),
    )


def _store(store: ObjectStore, labels: Mapping[str, str], who: str, now: datetime) -> str:
    rows = tuple(Label(photo, label) for photo, label in sorted(labels.items()))
    value = asdict(Labels(1, who, now.isoformat(timespec="seconds"), rows))
    key, content = f"{LABELS}{stamped_id(now)}.json", json.dumps(value).encode()
    retried(lambda: store.put_bytes(key, content))
    return key


def _rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the photo and the label of each row.

    Raises:
        DataError: the file cannot be read as such a table.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"{file}: found {file.stat().st_size:,} bytes; expected {_MAX_BYTES:,} at most")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise DataError(
                    f"{file}: no column {' and '.join(missing)}; expected the columns photo and label, as `raytl collect "
                    "--out` writes them"
                )
            for count, row in enumerate(reader):
                if count >= MAX_LABELS:
                    raise DataError(f"{file}: more than {MAX_LABELS:,} rows; expected fewer. Split the file")
                yield reader.line_num, (row["photo"] or "").strip(), nfc((row["label"] or "").strip())
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; expected the table of `raytl collect --out`, filled in") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read ({error}); expected a CSV table in UTF-8") from error


def check_replaceable(file: Path, stored: Mapping[str, str]) -> None:
    """Check that a new table at `file` replaces no labels that are not among the `stored` ones.

    Raises:
        DataError: it has such labels, or is no table of images to label.
    """
    if not file.exists():
        return
    lost = sum(bool(label) and stored.get(photo) != label for _, photo, label in _rows(file))
    if lost:
        raise DataError(
            f"{file}: has {lost} label{'s' * (lost > 1)} that would be lost; return the table with --labels first, or choose another --out"
        )


def _check(file: Path, rows: list[tuple[int, str, str]], photos: Some[str]) -> None:
    unknown = [f"line {line}: {photo[:80]!r}" for line, photo, _ in rows if photo not in photos]
    odd = [f"line {line}: {label[:80]!r}" for line, _, label in rows if not _is_name(label)]
    by_photo: dict[str, set[str]] = defaultdict(set)
    for _, photo, label in rows:
        by_photo[photo] |= {label} - {""}
    twice = [f"{photo[:12]}: {', '.join(sorted(each))}" for photo, each in by_photo.items() if len(each) > 1]
    problems = (
        (unknown, "row", "with a photo that is not in the prefix"),
        (odd, "label", f"that cannot be a class (expected printable text of {_MAX_NAME} characters at most)"),
        (twice, "photo", "with two labels"),
    )
    lines = [
        f"{len(each)} {noun}{'s' * (len(each) > 1)} {what}:\n{listed(each)}" for each, noun, what in problems if each
    ]
    if lines:
        raise DataError(f"{file}: no label was stored; fix the rows and return the file again:\n" + "\n".join(lines))


def _is_name(label: str) -> bool:
    return label.isprintable() and len(label) <= _MAX_NAME
