"""The record of what label methods changed, `label-changes.json` in the folder of a run or a sweep.

A resumed run learns from the images of the record, found again by key and content in the sources that its experiment names:
the record names no place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from raytl.data.manifest import listed
from raytl.data.sample import Sample
from raytl.errors import RunError
from raytl.labelling.change import Reason, TrainChange
from raytl.labelling.settings import KEYS, Settings
from raytl.run.atomic import write_json
from raytl.stored import Format
from raytl.stored.bounds import Digest, Name, at_least, at_most, within

FILE = "label-changes.json"
_MOST_IMAGES = 5_000_000
_ADVICE = "Restore the file, or start over with --new (the old run is renamed, not deleted)."
Confidence = Annotated[float, within(0, 1)]


@dataclass(frozen=True, slots=True)
class LeftOutImage:
    """A training image that is not learned: its key, the method, and how sure it was."""

    key: Annotated[Name, at_least(1, "character")]
    by: Name
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class AddedImage:
    """An image that is learned with the `label` that a method gave it; `digest` is the sha256 of its file."""

    key: Annotated[Name, at_least(1, "character")]
    label: Annotated[Name, at_least(1, "character")]
    digest: Digest
    by: Name
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class StoredChange:
    """The changes that the methods made for one value of each of their keys."""

    settings: Annotated[Mapping[Name, Name], at_most(20, "keys")]
    notes: Annotated[tuple[str, ...], at_most(1000, "notes")]
    left_out: Annotated[tuple[LeftOutImage, ...], at_most(_MOST_IMAGES, "images")]
    added: Annotated[tuple[AddedImage, ...], at_most(_MOST_IMAGES, "images")]


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """The changes of a run, or of all settings of a sweep's trials."""

    format: Literal[1]
    changes: Annotated[tuple[StoredChange, ...], at_most(1000, "changes")]


LABEL_CHANGES_FORMAT = Format[LabelChanges](
    LabelChanges, "the record of label changes", _ADVICE, RunError, max_bytes=1 << 30
)


def write_changes(folder: Path, changes: Mapping[Settings, TrainChange]) -> None:
    """Write the record of `changes` to the folder of a run or sweep; without any, there is none."""
    (folder / FILE).unlink(missing_ok=True)
    if changes:
        write_json(folder / FILE, asdict(LabelChanges(1, tuple(_stored(*each) for each in changes.items()))))


def stored_changes(folder: Path) -> LabelChanges | None:
    """Return the record in the folder of a run or sweep; None if there is none.

    Raises:
        RunError: it is damaged.
    """
    return LABEL_CHANGES_FORMAT.load(folder / FILE) if (folder / FILE).exists() else None


def left_out_of(folder: Path, settings: Settings) -> frozenset[str]:
    """Return the keys of the training images that a run with `settings` left out, by the record in its folder.

    Raises:
        RunError: the record is damaged.
    """
    record = stored_changes(folder)
    changes = record.changes if record else ()
    return frozenset(image.key for one in changes if _settings(one) == settings for image in one.left_out)


def restored(
    record: LabelChanges, classes: Sequence[str], read: Callable[[str], Sequence[Sample]], where: str
) -> dict[Settings, TrainChange]:
    """Return the changes of a record; `read` returns the present images of the source that a key of the experiment names.

    Raises:
        RunError: an added image has a label that is none of `classes`, is no longer there, or its content changed.
    """
    labels = {image.label for change in record.changes for image in change.added}
    if unknown := sorted(labels.difference(classes)):
        raise RunError(
            f"{where}: {len(unknown)} labels are no class of the data:\n{listed([repr(each) for each in unknown])}\n{_ADVICE}"
        )
    sources = {image.key.partition(":")[0] for change in record.changes for image in change.added}
    present = {sample.key: sample for source in sorted(sources) for sample in read(source)}
    changed = {
        image.key
        for change in record.changes
        for image in change.added
        if image.key not in present or present[image.key].digest != image.digest
    }
    if changed:
        raise RunError(
            f"{where}: {len(changed)} images that a label method added are missing or changed since this run began:\n"
            f"{listed(sorted(changed))}\n  Restore them, or start over with --new (the old run is renamed, not deleted)."
        )
    return {_settings(change): _change(change, present) for change in record.changes}


def _settings(change: StoredChange) -> Settings:
    return tuple(change.settings.get(key, "none") for key in KEYS)


def _change(change: StoredChange, present: Mapping[str, Sample]) -> TrainChange:
    added = [Sample(one.key, present[one.key].path, one.label, "train", one.digest) for one in change.added]
    reasons = {one.key: Reason(one.by, one.confidence) for one in change.left_out}
    reasons |= {one.key: Reason(one.by, one.confidence) for one in change.added}
    return TrainChange(frozenset(one.key for one in change.left_out), added, change.notes, reasons=reasons)


def _stored(settings: Settings, change: TrainChange) -> StoredChange:
    nothing = Reason("")
    reasons = {key: change.reasons.get(key, nothing) for key in change.left_out}
    left_out = [LeftOutImage(key, reasons[key].by, reasons[key].confidence) for key in sorted(change.left_out)]
    added = []
    for sample in change.added:
        reason = change.reasons.get(sample.key, nothing)
        added.append(AddedImage(sample.key, sample.label, sample.digest, reason.by, reason.confidence))
    named = dict(zip(KEYS, map(str, settings), strict=True))
    return StoredChange(named, change.notes, tuple(left_out), tuple(added))
