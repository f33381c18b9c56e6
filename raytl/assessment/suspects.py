"""Section: which labels are probably wrong? Confident learning on answers to images that were not learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from raytl.assessment.section import Evidence, Figure, Options, SectionResult, SplitEvidence, Table
from raytl.assessment.sheets import sheet
from raytl.assessment.texts import csv_text, percent
from raytl.data.group_split import group_columns, joined, kept_together
from raytl.data.perceptual_hash import copies, phash
from raytl.metrics.confusion import Floats, balanced_accuracy, confusion_matrix, tally
from raytl.metrics.suspects import is_trusted, suspects
from raytl.models.frozen import FOLDS
from raytl.models.left_out import left_out_in_parts

_LISTED = 20
_IMAGES = {"val": "Validation images", "train": "Training images"}
_FIELDS = ("split", "key", "given", "suggested", "probability", "margin")
_HEAD = ("split", "image", "label", "suggested", "probability", "margin")


@dataclass(frozen=True, slots=True)
class SuspectImage:
    """An image of a split whose label may be wrong; see `raytl.metrics.suspects.Suspect`."""

    split: str
    place: int
    key: str
    given: str
    suggested: str
    probability: float
    margin: float


class SuspectsSection:
    """See `raytl.assessment.section.Section`."""

    name = "suspects"
    needs_train = True

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the images to look at again, the most suspect first: of validation, and of train if it is there."""
        tables = {"val": (evidence.val, evidence.val.probabilities)}
        train = evidence.train if evidence.train is not None and _is_learnable(evidence.train) else None
        agreed = None
        if train is not None:
            table = _left_out(train, len(evidence.classes), group_columns(evidence.columns), options)
            agreed = float((table.argmax(axis=1) == train.targets).mean())
            tables["train"] = (train, table)
        doubtful = [name for name, (split, table) in tables.items() if not _is_trusted(split, table)]
        trusted = [(name, *tables[name]) for name in tables if name not in doubtful]
        listed = [each for name, split, table in trusted for each in _of_split(name, split, table, evidence.classes)]
        listed.sort(key=lambda each: each.probability)
        return SectionResult(
            title="Suspect labels: which ones to look at again?",
            sentences=(
                *_sentences(listed, {name: len(split) for name, split, _ in trusted}),
                *(_unknown(name, *tables[name]) for name in doubtful),
                *_learned(agreed, float(evidence.val.correct.mean())),
            ),
            tables=(_table(listed),) if listed else (),
            figures=tuple(_figures(listed, evidence)),
            json={"suspects": [{name: getattr(each, name) for name in _FIELDS} for each in listed]},
            files={"suspects.csv": csv_text(_HEAD, (_row(each, digits=4) for each in listed))},
        )


SECTION = SuspectsSection()


def _of_split(name: str, split: SplitEvidence, table: Floats, classes: tuple[str, ...]) -> Iterator[SuspectImage]:
    for each in suspects(split.targets, table):
        key = split.samples[each.place].key
        yield SuspectImage(
            name, each.place, key, classes[each.given], classes[each.suggested], each.probability, each.margin
        )


def _is_learnable(split: SplitEvidence) -> bool:
    """Return whether classifiers of the features can be cross-validated."""
    return split.features.shape[1] > 0 and len(split) >= FOLDS and len(np.unique(split.targets)) > 1


def _left_out(split: SplitEvidence, classes: int, columns: Sequence[str], options: Options) -> Floats:
    """Return probabilities of classifiers of the features that learned neither the image, nor its group of `columns`, nor a
    copy of it, `(n, classes)`."""
    features = torch.from_numpy(split.features)
    groups_at = partial(_groups, split, columns)
    return left_out_in_parts(features, split.targets, classes, groups_at, options.seed, options.on_event)


def _groups(split: SplitEvidence, columns: Sequence[str], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of each image at `places`: those of a group of `columns` and copies of one photo are together."""
    groups = kept_together([split.samples[i] for i in places], columns)
    if not split.thumbnails.shape[1]:
        return groups
    return joined(groups, copies([phash(Image.fromarray(split.thumbnails[i])) for i in places]))


def _is_trusted(split: SplitEvidence, table: Floats) -> bool:
    counts = tally(confusion_matrix(split.targets, table.argmax(axis=1), table.shape[1]))
    return is_trusted(float(balanced_accuracy(counts)), table.shape[1])


def _unknown(name: str, split: SplitEvidence, table: Floats) -> str:
    wrong = float((table.argmax(axis=1) != split.targets).mean())
    return f"{_IMAGES[name]}: cannot tell which labels are wrong; the answers are wrong themselves on {percent(wrong)} of them."


def _sentences(listed: list[SuspectImage], images: Mapping[str, int]) -> Iterator[str]:
    if not images:
        return
    of_train = sum(each.split == "train" for each in listed)
    searched = " and ".join(f"{count:,} {_IMAGES[name].lower()}" for name, count in images.items())
    if not listed:
        yield f"No label of {searched} is suspect."
        return
    yield (
        f"{len(listed):,} labels of {searched} are suspect ({of_train:,} of train): the answers speak for another class. "
        "Look at them from the top of suspects.csv."
    )
    yield "A suspect label may also be a rare or hard image: relabel by eye, never automatically."


def _learned(agreed: float | None, accuracy: float) -> tuple[str, ...]:
    """Return why wrong labels of train may be missing: the features are of a network that learned them."""
    if agreed is None:
        return ()
    return (
        f"The network learned the labels of train, wrong ones too: a classifier of its features agrees with {percent(agreed)} of them, and "
        f"{percent(accuracy)} of the validation images are right. The further apart these are, the more wrong labels are hidden; "
        "`raytl advise` looks for them with networks that did not learn them.",
    )


def _row(each: SuspectImage, digits: int = 2) -> tuple[str, ...]:
    numbers = (f"{value:.{digits}f}" for value in (each.probability, each.margin))
    return (each.split, each.key, each.given, each.suggested, *numbers)


def _table(listed: list[SuspectImage]) -> Table:
    title = f"The {min(_LISTED, len(listed))} most suspect labels"
    return Table(title, _HEAD, tuple(_row(each) for each in listed[:_LISTED]), (4, 5))


def _figures(listed: list[SuspectImage], evidence: Evidence) -> Iterator[Figure]:
    splits = {"val": evidence.val, "train": evidence.train}
    pictures = [
        (split.thumbnails[each.place], f"{each.given}\n→ {each.suggested}?")
        for each in listed
        if (split := splits[each.split]) is not None and split.thumbnails.shape[1]
    ]
    if pictures:
        images, notes = zip(*pictures, strict=True)
        yield Figure(
            "suspect-labels",
            "The most suspect labels",
            "Images as the network sees them, with their label and the class that the answers suggest.",
            sheet(np.stack(images), notes),
        )
