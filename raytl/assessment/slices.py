"""Section: where does the model err more often? Slices by class, metadata, image properties and clusters of features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.section import Evidence, Figure, Options, SectionResult, Table
from raytl.assessment.sheets import sheet
from raytl.assessment.texts import csv_text, p_phrase, p_text, percent
from raytl.data.image_properties import NAMES, PIXEL_PROPERTIES
from raytl.metrics.attributes import Attribute, of_features, of_numbers, of_texts
from raytl.metrics.slices import Slice, SliceSearch, find_slices

CLASS, _CLUSTER = "class", "cluster"
_HEAD = ("slice", "errors on validation", "errors on test", "errors elsewhere on test", "p (Holm)", "confirmed")


class Images(Protocol):
    """The images of a split of any task; see `SplitEvidence`."""

    @property
    def features(self) -> NDArray[np.float16]:
        """Return the features, `(n, d)`."""
        ...

    @property
    def properties(self) -> NDArray[np.float32]:
        """Return the properties, `(n, 7)`."""
        ...

    def column(self, name: str) -> list[str]:
        """Return the values in a column of the manifest."""
        ...


class SlicesSection:
    """See `raytl.assessment.section.Section`."""

    name = "slices"
    needs_train = False

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the slices that validation shows, and which of them test confirms."""
        search = find_slices(~evidence.val.correct, ~evidence.test.correct, list(attributes(evidence, options.seed)))
        return SectionResult(
            title="Slices: where does it err more often?",
            sentences=tuple(_sentences(search, evidence)),
            tables=(slice_table(search, _HEAD),) if search.slices else (),
            figures=tuple(_figures(search, evidence, options.seed)),
            json={
                "candidates": search.candidates,
                "min_images": search.min_images,
                "slices": [plain_slice(each) for each in search.slices],
            },
            files={"slices.csv": slice_csv(search)},
        )


SECTION = SlicesSection()


def attributes(evidence: Evidence, seed: int) -> Iterator[Attribute]:
    """Yield the attributes by which images are sliced: what of them is known on both splits."""
    val, test = evidence.val, evidence.test
    yield of_texts(CLASS, *([evidence.classes[i] for i in split.targets] for split in (val, test)))
    yield from image_attributes(val, test, evidence.columns, seed, (CLASS,))


def image_attributes(
    val: Images, test: Images, columns: Iterable[str], seed: int, others: Iterable[str] = ()
) -> Iterator[Attribute]:
    """Yield the attributes of images of any task: their `columns`, properties and clusters of features. A column that is called as
    one of these, or as one of the `others` of the task, is named as a column."""
    taken = {*NAMES, _CLUSTER, *others}
    for column in columns:
        name = f"{column} (column)" if column in taken else column
        yield of_texts(name, val.column(column), test.column(column))
    if val.properties.shape[1] and test.properties.shape[1]:
        for place, name in enumerate(NAMES):
            yield of_numbers(name, _values(val, place), _values(test, place))
    if val.features.shape[1] and test.features.shape[1]:
        yield of_features(_CLUSTER, val.features.astype(np.float64), test.features.astype(np.float64), seed=seed)


def _values(split: Images, place: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a property of the images; NaN where the size of the file is not known."""
    values = split.properties[:, place].astype(np.float64)
    return np.where(values > 0, values, np.nan) if place >= PIXEL_PROPERTIES else values


def _sentences(search: SliceSearch, evidence: Evidence) -> Iterator[str]:
    if not search.candidates:
        yield (
            f"Too few images to look for slices: no value has {search.min_images} of the {len(evidence.val):,} validation "
            "images. Collect more validation images."
        )
        return
    confirmed, unconfirmed = search.confirmed, len(search.slices) - len(search.confirmed)
    if confirmed:
        yield from map(_sentence, confirmed)
    else:
        yield "No slice with more errors is confirmed on test."
    tested = f"{search.candidates:,} slices of {search.min_images} or more validation images were compared with the other images"
    rest = f"; {unconfirmed} more were worse on validation, but test does not confirm them" if unconfirmed else ""
    yield f"{tested}{rest}."


def _sentence(each: Slice) -> str:
    return (
        f"{each.name}: {percent(each.test.error_rate)} errors on {each.test.images:,} test images, "
        f"{percent(each.test.other_error_rate)} on the others ({p_phrase(each.p_test)})."
    )


def slice_table(search: SliceSearch, head: tuple[str, ...]) -> Table:
    """Return the table of slices under `head`."""
    rows = [
        (
            each.name,
            f"{each.val.errors} of {each.val.images} ({percent(each.val.error_rate)})",
            f"{each.test.errors} of {each.test.images} ({percent(each.test.error_rate)})",
            percent(each.test.other_error_rate),
            p_text(each.p_test),
            "yes" if each.is_confirmed else "no",
        )
        for each in search.slices
    ]
    return Table("Slices that are worse on validation", head, tuple(rows), (1, 2, 3, 4))


def _figures(search: SliceSearch, evidence: Evidence, seed: int) -> Iterator[Figure]:
    """Yield a sheet of the mistakes in the worst confirmed slice."""
    if not search.confirmed or not evidence.test.thumbnails.shape[1]:
        return
    worst, test = search.confirmed[0], evidence.test
    by_name = {each.name: each for each in attributes(evidence, seed)}
    inside = np.all([by_name[n].test == by_name[n].values.index(value) for n, value in worst.conditions], axis=0)
    places = np.flatnonzero(inside & ~test.correct)
    notes = [f"{evidence.classes[test.targets[i]]}\n→ {evidence.classes[test.predicted[i]]}" for i in places]
    yield Figure(
        "slice-mistakes",
        f"Mistakes in the worst slice: {worst.name}",
        "Test images as the network sees them, with their class and the class that it answers.",
        sheet(test.thumbnails[places], notes),
    )


def plain_slice(each: Slice) -> dict[str, object]:
    """Return a slice for report.json."""
    plain = asdict(each) | {"conditions": dict(each.conditions)}
    return plain | {"p_test": None if np.isnan(each.p_test) else each.p_test}


def slice_csv(search: SliceSearch) -> str:
    """Return slices.csv."""
    head = ("slice", "val_images", "val_errors", "test_images", "test_errors", "p_val", "p_test_holm", "confirmed")
    rows = [
        (
            each.name,
            each.val.images,
            each.val.errors,
            each.test.images,
            each.test.errors,
            f"{each.p_val:.6g}",
            "" if np.isnan(each.p_test) else f"{each.p_test:.6g}",
            "yes" if each.is_confirmed else "no",
        )
        for each in search.slices
    ]
    return csv_text(head, rows)
