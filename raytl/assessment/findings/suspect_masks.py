"""Suspect annotations of class maps: regions in which confident answers contradict the annotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.assessment.findings.crops import ANNOTATED, PREDICTED, Crop, Drawn, crop_sheet
from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.section import Options, Picture, SectionResult, Table
from raytl.assessment.texts import csv_text, percent, searched_text
from raytl.data.class_maps import BACKGROUND
from raytl.data.manifest import Sample
from raytl.data.targets import Mask
from raytl.metrics.pixels import SURE, Pixels
from raytl.metrics.segmentation import TOLERANCE

_LISTED, _PICTURED, _STORED = 20, 16, 10_000
_HEAD = (
    "split", "image", "kind", "annotated", "answered", "confidence", "percent of the image", "x_min", "y_min", "x_max", "y_max",
)  # fmt: skip
_MEANING = {
    "missing": "no annotation where the model answers something",
    "other class": "annotated as another class than the answer",
    "not there": "annotated where the model answers background",
}


@dataclass(frozen=True, eq=False)
class SuspectRegion:
    """A region of an image of a split that is annotated as `given` and answered as `suggested`: its `area` as a fraction of the
    image, the mean `confidence`, and its `box` in pixels."""

    split: str
    place: int
    key: str
    given: str
    suggested: str
    area: float
    confidence: float
    box: NDArray[np.float32]

    @property
    def kind(self) -> str:
        """The kind of mistake that the annotation perhaps is."""
        if self.given == BACKGROUND:
            return "missing"
        return "not there" if self.suggested == BACKGROUND else "other class"

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of suspects.csv."""
        numbers = f"{self.confidence:.3f}", f"{100 * self.area:.2f}", *(f"{value:.0f}" for value in self.box.tolist())
        return (self.split, self.key, self.kind, self.given, self.suggested, *numbers)


def suspect_masks(evidence: FindingEvidence, options: Options) -> SectionResult:
    """Return the regions to look at again, those that speak most against the annotation first: of validation, and of train if it is
    there."""
    splits = {"val": evidence.val} | ({} if evidence.train is None else {"train": evidence.train})
    listed = [each for name, split in splits.items() for each in _of_split(name, split, evidence.classes)]
    listed.sort(key=lambda each: -each.area * each.confidence)
    return SectionResult(
        title="Suspect annotations: which masks to look at again?",
        sentences=tuple(_sentences(listed, {name: len(split) for name, split in splits.items()})),
        tables=(_table(listed),) if listed else (),
        pictures=tuple(_pictures(listed[:_PICTURED], splits, options)),
        json={"suspects": [dict(zip(_HEAD, each.row, strict=True)) for each in listed[:_STORED]]},
        files={"suspects.csv": csv_text(_HEAD, (each.row for each in listed))},
    )


def _of_split(name: str, split: SplitFindings, classes: Sequence[str]) -> Iterator[SuspectRegion]:
    pixels = split.findings.pixels
    assert isinstance(pixels, Pixels), "evidence of class maps has pixels"
    for place, rank in np.argwhere(pixels.suspects[..., 2] > 0).tolist():
        given, suggested, area, confidence = pixels.suspects[place, rank, :4].tolist()
        names = classes[int(given)], classes[int(suggested)]
        box = pixels.suspects[place, rank, 4:]
        yield SuspectRegion(name, place, split.samples[place].key, *names, area, confidence, box)


def _sentences(listed: list[SuspectRegion], images: dict[str, int]) -> Iterator[str]:
    searched = searched_text(images)
    rule = (
        f"answers with a confidence of {percent(SURE)} or more that contradict the annotation over a region thicker than "
        f"{200 * TOLERANCE:g} % of the diagonal"
    )
    if not listed:
        yield f"No annotation of {searched} is suspect: there are no {rule}."
        return
    counts = Counter(each.kind for each in listed)
    named = "; ".join(f"{count:,} {kind} ({_MEANING[kind]})" for kind, count in counts.most_common())
    yield f"{len(listed):,} regions of {searched} are suspect ({named}): {rule}. Look at them from the top of suspects.csv."
    yield "A suspect region may also be a mistake of the model: correct by eye, never automatically."
    if "train" in images:
        yield "The model learned the annotations of the training images; a contradiction that remains there weighs more."


def _table(listed: list[SuspectRegion]) -> Table:
    title = f"The {min(_LISTED, len(listed))} most suspect regions"
    return Table(title, _HEAD[:7], tuple(each.row[:7] for each in listed[:_LISTED]), (5, 6))


def _pictures(listed: list[SuspectRegion], splits: Mapping[str, SplitFindings], options: Options) -> Iterator[Picture]:
    """Yield a sheet of regions, if photos may be opened."""
    if options.open_photos is None or not listed:
        return
    samples = [splits[each.split].samples[each.place] for each in listed]
    photos = map(_annotated, options.open_photos(samples), samples)
    crops = [
        Crop(photo, each.box, _boxes(each, splits[each.split]), (each.key.rpartition("/")[2], _note(each)))
        for each, photo in zip(listed, photos, strict=True)
        if photo is not None
    ]
    if crops:
        yield Picture(
            "suspect-masks",
            "The most suspect regions",
            "Parts of photos. Blue boxes are around annotated regions, the orange box is around the answer that contradicts them.",
            crop_sheet(crops),
        )


def _annotated(photo: Image.Image | None, sample: Sample) -> Image.Image | None:
    """Return the photo in the resolution of its mask, in whose pixels boxes are."""
    target = sample.target
    if photo is None or not isinstance(target, Mask) or not target.width:
        return photo
    return photo.resize((target.width, target.height))


def _boxes(each: SuspectRegion, split: SplitFindings) -> tuple[Drawn, ...]:
    wanted = split.findings.wanted
    annotated = wanted.boxes[wanted.image == each.place]
    return (*(Drawn(box, ANNOTATED) for box in annotated), Drawn(each.box, PREDICTED))


def _note(each: SuspectRegion) -> str:
    return f"{each.given} → {each.suggested} {each.confidence:.2f}?"
