"""Section: does it look at the thing? Artifacts that give a class away, and the accuracy without parts of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.section import Evidence, Figure, LiveModel, Options, SectionResult, SplitEvidence, Table
from raytl.assessment.sheets import sheet
from raytl.assessment.texts import percent
from raytl.data.ablations import ABLATIONS, equalized
from raytl.events import Work
from raytl.metrics.confusion import Ints
from raytl.metrics.shortcuts import CELLS, Cell, Shortcut, find_shortcuts
from raytl.metrics.transplant import Transplant, transplant

_LIMIT_ABLATED = 200
_LIMIT_PASTED = 64
_EQUALIZED = "equal brightness, color and contrast of classes"


@dataclass(frozen=True)
class _Seen:
    """A shortcut of the class `name`, and how the model follows its patch into other images; None if that was not measured."""

    name: str
    shortcut: Shortcut
    effect: Transplant | None


class ShortcutsSection:
    """See `raytl.assessment.section.Section`."""

    name = "shortcuts"
    needs_train = True

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the artifacts in train (validation, if train is not there), and what validation images are without parts."""
        searched = evidence.train if evidence.train is not None else evidence.val
        if not searched.thumbnails.shape[1]:
            return SectionResult(_TITLE, ("Not measured: thumbnails are stored for splits of up to 100,000 images.",))
        shortcuts = find_shortcuts(searched.thumbnails, searched.targets, len(evidence.classes))
        model = options.model() if options.model is not None else None
        seen = []
        for done, each in enumerate(shortcuts):
            options.on_event(Work("pasting patches", done, len(shortcuts), "patches"))
            effect = _effect(each, searched, evidence.val, model, options.seed)
            seen.append(_Seen(evidence.classes[each.target], each, effect))
        left = _ablated(evidence.val, model, options) if model is not None else {}
        return SectionResult(
            title=_TITLE,
            sentences=tuple(_sentences(seen, left, len(searched))),
            tables=tuple(_tables(seen, left)),
            figures=tuple(_figures(seen, searched)),
            json={
                "shortcuts": [
                    asdict(each.shortcut)
                    | {"class": each.name, "transplant": asdict(each.effect) if each.effect else None}
                    for each in seen
                ],
                "accuracy_without": left,
            },
        )


SECTION = ShortcutsSection()
_TITLE = "Shortcuts: does it look at the thing?"


def _effect(
    shortcut: Shortcut, searched: SplitEvidence, val: SplitEvidence, model: LiveModel | None, seed: int
) -> Transplant | None:
    """Paste the patch from images of the class into validation images of others; None without the model or such images."""
    rng = np.random.default_rng(seed)
    donors = _some(np.flatnonzero(searched.targets == shortcut.target), rng)
    receivers = _some(np.flatnonzero(val.targets != shortcut.target), rng)
    if model is None or not len(donors) or not len(receivers):
        return None
    given = list(model.views([searched.samples[i] for i in donors]))
    taken = list(model.views([val.samples[i] for i in receivers]))
    return transplant(shortcut, taken, given, lambda images: model.probabilities(np.stack(images)), seed)


def _some(places: NDArray[np.int64], rng: np.random.Generator, limit: int = _LIMIT_PASTED) -> NDArray[np.int64]:
    return np.sort(rng.permutation(places)[:limit])


def _ablated(val: SplitEvidence, model: LiveModel, options: Options) -> dict[str, float]:
    """Return the accuracy on validation images as they are (key "all"), and with only a part of what is in them."""
    places = _some(np.arange(len(val)), np.random.default_rng(options.seed), _LIMIT_ABLATED)
    views, targets = model.views([val.samples[i] for i in places]), val.targets[places]

    def accuracy(images: Sequence[NDArray[np.uint8]]) -> float:
        return float((model.probabilities(np.stack(images)).argmax(axis=1) == targets).mean())

    left, parts = {}, len(ABLATIONS) + 2
    for done, (name, images) in enumerate(_versions(list(views), targets)):
        options.on_event(Work("hiding parts of images", done, parts, "parts"))
        left[name] = accuracy(images)
    options.on_event(Work("hiding parts of images", parts, parts, "parts"))
    return left


def _versions(views: list[NDArray[np.uint8]], targets: Ints) -> Iterator[tuple[str, Sequence[NDArray[np.uint8]]]]:
    """Yield the images as they are, with only a part of what is in them, and with properties that are equal in all classes."""
    yield "all", views
    for name, change in ABLATIONS.items():
        yield name, [change(view) for view in views]
    yield _EQUALIZED, equalized(views, targets)


def _sentences(seen: list[_Seen], left: dict[str, float], images: int) -> Iterator[str]:
    yield from map(_sentence, seen)
    if not seen:
        yield f"No class is given away by the same patch at the same place of its images ({images:,} were searched)."
    if left:
        yield (
            f"Of the validation images {percent(left['all'])} are right; with the center hidden {percent(left['background only'])}, "
            f"with the background hidden {percent(left['center only'])}."
        )


def _sentence(each: _Seen) -> str:
    text = (
        f"{each.name}: {percent(each.shortcut.fraction)} of its images show the same patch in {_place(each.shortcut.cell)} of "
        f"{CELLS} x {CELLS} cells, {percent(each.shortcut.other_fraction)} of the others (z = {each.shortcut.z:.1f})."
    )
    if each.effect is None:
        return f"{text} Whether the model uses it was not measured."
    moved = (
        f"pasted into {each.effect.images} images of other classes, it moves the probability of {each.name} from "
        f"{percent(each.effect.before)} to {percent(each.effect.after)} (another patch: {percent(each.effect.control)})"
    )
    return f"{text} {'The model uses it' if each.effect.is_confirmed else 'The model does not follow it'}: {moved}."


def _place(cell: Cell) -> str:
    """Return the row and the column of a cell from 1 on, or both that it lies between."""
    parts = []
    for name, place in zip(("row", "column"), cell, strict=True):
        first = int(place) + 1
        parts.append(f"{name} {first}" if place == int(place) else f"{name}s {first} and {first + 1}")
    return ", ".join(parts)


def _tables(seen: list[_Seen], left: dict[str, float]) -> Iterator[Table]:
    if left:
        rows = [("the whole image" if name == "all" else name, percent(value)) for name, value in left.items()]
        yield Table("Accuracy on validation images of which only this is left", ("left", "right"), tuple(rows), (1,))


def _figures(seen: list[_Seen], searched: SplitEvidence) -> Iterator[Figure]:
    for each in seen[:3]:
        places = np.flatnonzero(searched.targets == each.shortcut.target)
        marked = _marked(searched.thumbnails[places], each.shortcut)
        yield Figure(
            f"shortcut-{each.shortcut.target}",
            f"The patch that gives {each.name} away",
            "Images of the class as the network sees them; the patch is framed.",
            sheet(marked, [""] * len(marked)),
        )


def _marked(thumbnails: NDArray[np.uint8], shortcut: Shortcut) -> NDArray[np.uint8]:
    """Return enlarged copies of thumbnails with frames around the cells of the shortcut."""
    from raytl.assessment.sheets import LIMIT

    large = thumbnails[:LIMIT].repeat(4, 1).repeat(4, 2)
    side = large.shape[1] // CELLS
    for row, column in shortcut.cells:
        top, left = int(row * side), int(column * side)
        frame = np.zeros(large.shape[1:3], np.bool_)
        frame[top : top + side, left : left + side] = True
        frame[top + 1 : top + side - 1, left + 1 : left + side - 1] = False
        large[:, frame] = (255, 0, 80)
    return large
