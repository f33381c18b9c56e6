"""Section: which annotations are probably wrong? Things that are missing, of another class, drawn badly or twice, or of nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.findings.crops import ANNOTATED, PREDICTED, Crop, Drawn, crop_sheet
from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.findings.suspect_masks import suspect_masks
from raytl.assessment.section import Figure, Options, Picture, SectionResult, Table
from raytl.assessment.sheets import LIMIT as SHEET_LIMIT
from raytl.assessment.sheets import sheet
from raytl.assessment.texts import csv_text, searched_text
from raytl.metrics.finding_suspects import KINDS, SuspectThing, suspect_things
from raytl.metrics.label_suspects import label_suspects

_OF_KIND, _STORED = 4, 10_000
"""Suspects of each kind on the page, and all in report.json."""
_MEANING = {
    "missing": "no annotation where the model finds one",
    "other class": "annotated as another class than the model finds",
    "drawn badly": "annotated beside what the model finds",
    "annotated twice": "annotated on a thing that is annotated already",
    "not there": "annotated where the model finds nothing",
}
_HEAD = ("split", "image", "kind", "annotated", "found", "score", "x_min", "y_min", "x_max", "y_max")


@dataclass(frozen=True, eq=False)
class _Suspect:
    """A suspect annotation of a split; `annotated` and `predicted` are classes, empty without one, and `box` is in pixels."""

    split: str
    part: SplitFindings
    thing: SuspectThing
    key: str
    annotated: str
    predicted: str
    box: NDArray[np.float32]

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of suspects.csv."""
        box = [f"{value:.0f}" for value in self.box.tolist()] or ["", "", "", ""]
        return (self.split, self.key, self.thing.kind, self.annotated, self.predicted, f"{self.thing.score:.3f}", *box)


class FindingSuspectsSection:
    """See `raytl.assessment.section.Section`."""

    name = "suspects"
    needs_train = True

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the annotations to look at again, the most suspect first: of validation, and of train if it is there."""
        if evidence.val.findings.pixels is not None:
            return suspect_masks(evidence, options)
        parts = {"val": evidence.val} | ({} if evidence.train is None else {"train": evidence.train})
        listed = [each for name, part in parts.items() for each in _of_split(name, part, evidence.classes)]
        listed.sort(key=lambda each: -each.thing.score)
        images = {name: len(part) for name, part in parts.items()}
        first = [each for kind in KINDS for each in [one for one in listed if one.thing.kind == kind][:_OF_KIND]]
        return SectionResult(
            title="Suspect annotations: which ones to look at again?",
            sentences=tuple(_sentences(listed, images, evidence.kind.wanted)),
            tables=(_table(first),) if first else (),
            figures=tuple(_thumbnails(first)),
            pictures=tuple(_pictures(first, options)),
            json={"suspects": [dict(zip(_HEAD, each.row, strict=True)) for each in listed[:_STORED]]},
            files={"suspects.csv": csv_text(_HEAD, (each.row for each in listed))},
        )


SECTION = FindingSuspectsSection()


def _of_split(name: str, part: SplitFindings, classes: Sequence[str]) -> Iterator[_Suspect]:
    findings, wanted = part.findings, part.findings.wanted
    for each in suspect_things(findings) if findings.boxes.shape[1] else label_suspects(findings):
        annotated = classes[wanted.label[each.wanted]] if each.wanted >= 0 else ""
        predicted = classes[findings.label[each.finding]] if each.finding >= 0 else ""
        box = findings.boxes[each.finding] if each.finding >= 0 else wanted.boxes[each.wanted]
        yield _Suspect(name, part, each, part.samples[each.image].key, annotated, predicted, box)


def _sentences(listed: list[_Suspect], images: dict[str, int], wanted: str) -> Iterator[str]:
    searched = searched_text(images)
    if not listed:
        yield f"No annotation of {searched} is suspect."
        return
    counts = Counter(each.thing.kind for each in listed)
    kinds = "; ".join(f"{count:,} {kind} ({_MEANING[kind]})" for kind, count in counts.most_common())
    yield f"{len(listed):,} suspect annotations in {searched}: {kinds}. Look at them from the top of suspects.csv."
    yield (
        f"A suspect annotation may also be a hard or rare {wanted}, or a mistake of the model: correct by eye, never "
        "automatically."
    )
    if "train" in images:
        yield "The model has learned the annotations of train, so it contradicts fewer of the wrong ones there."


def _table(listed: list[_Suspect]) -> Table:
    return Table("The most suspect annotations of each kind", _HEAD[:6], tuple(each.row[:6] for each in listed), (5,))


def _pictures(listed: list[_Suspect], options: Options) -> Iterator[Picture]:
    """Yield a sheet of the most suspect annotations, if photos may be opened."""
    pictured = [each for each in listed if len(each.box)]
    if options.open_photos is None or not pictured:
        return
    photos = options.open_photos([each.part.samples[each.thing.image] for each in pictured])
    crops = [
        Crop(photo, each.box, _boxes(each), (each.key.rpartition("/")[2], _note(each)))
        for each, photo in zip(pictured, photos, strict=True)
        if photo is not None
    ]
    if crops:
        yield Picture(
            "suspect-annotations",
            "The most suspect annotations",
            "Parts of photos. Blue boxes are annotated, the thick one is suspect; the orange box is what the model finds.",
            crop_sheet(crops),
        )


def _thumbnails(listed: list[_Suspect]) -> Iterator[Figure]:
    """Yield a sheet of the images of the most suspect annotations without a place."""
    pictured = [each for each in listed if not len(each.box) and each.part.thumbnails.shape[1]][:SHEET_LIMIT]
    if pictured:
        yield Figure(
            "suspect-annotations",
            "The most suspect annotations",
            "Images as the network sees them, with the annotation to look at.",
            sheet(
                np.stack([each.part.thumbnails[each.thing.image] for each in pictured]),
                [_label_note(each) for each in pictured],
            ),
        )


def _label_note(each: _Suspect) -> str:
    return f"{each.predicted}\nmissing?" if each.thing.finding >= 0 else f"{each.annotated}\nnot there?"


def _boxes(each: _Suspect) -> tuple[Drawn, ...]:
    wanted, thing = each.part.findings.wanted, each.thing
    places = np.flatnonzero(wanted.image == thing.image).tolist()
    annotated = [Drawn(wanted.boxes[place], ANNOTATED, 4 if place == thing.wanted else 2) for place in places]
    return (*annotated, *([Drawn(each.box, PREDICTED)] if thing.finding >= 0 else []))


def _note(each: _Suspect) -> str:
    if each.thing.finding < 0:
        return f"{each.annotated}: {each.thing.kind}?"
    confidence = each.part.findings.confidence[each.thing.finding]
    wrong = {"missing": "missing", "drawn badly": "drawn badly"}.get(each.thing.kind, f"not {each.annotated}")
    return f"{each.predicted} {confidence:.2f}: {wrong}?"
