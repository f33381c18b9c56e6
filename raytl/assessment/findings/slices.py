"""Section: on which images is the score lower? Slices by metadata, image properties, classes and clusters of features.

Scores are compared by the median test (Mood 1950): how many images of a slice score below the median of validation, and how many
of the others, with the exact test of `raytl.metrics.slices`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.section import Options, SectionResult
from raytl.assessment.slices import image_attributes, plain_slice, slice_csv, slice_table
from raytl.assessment.texts import p_phrase, percent
from raytl.metrics.attributes import Attribute, of_numbers, of_texts
from raytl.metrics.slices import Slice, SliceSearch, find_slices

_CLASSES = 50
"""Classes by which images are sliced, the most frequent ones."""


class FindingSlicesSection:
    """See `raytl.assessment.section.Section`."""

    name = "slices"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the slices that score lower on validation, and which of them test confirms."""
        val, test = evidence.val.findings.score, evidence.test.findings.score
        median = float(np.median(val))
        attributes = list(_attributes(evidence, options.seed))
        search = find_slices(val < median, test < median, attributes)
        name = f"{evidence.kind.score} below {percent(median)}"
        head = ("slice", f"{name}, on validation", "on test", "elsewhere on test", "p (Holm)", "confirmed")
        return SectionResult(
            title=f"Slices: where is the {evidence.kind.score} of an image lower?",
            sentences=tuple(_sentences(search, evidence, attributes, median)),
            tables=(slice_table(search, head),) if search.slices else (),
            json={
                "median": median,
                "candidates": search.candidates,
                "min_images": search.min_images,
                "slices": [plain_slice(each) for each in search.slices],
            },
            files={"slices.csv": slice_csv(search)},
        )


SECTION = FindingSlicesSection()


def _attributes(evidence: FindingEvidence, seed: int) -> Iterator[Attribute]:
    """Yield the attributes of images, the number of things in them, and for each class whether they have any."""
    val, test, classes = evidence.val, evidence.test, evidence.classes
    common = np.argsort(-np.bincount(val.findings.wanted.label, minlength=len(classes)), kind="stable")[:_CLASSES]
    of_things = [
        of_numbers(f"{evidence.kind.wanted}s", _counts(val), _counts(test)),
        *(of_texts(f"has {classes[i]}", _having(val, i), _having(test, i)) for i in common.tolist()),
    ]
    yield from image_attributes(val, test, evidence.columns, seed, [each.name for each in of_things])
    yield from of_things


def _counts(split: SplitFindings) -> NDArray[np.int64]:
    return np.bincount(split.findings.wanted.image, minlength=len(split))


def _having(split: SplitFindings, label: int) -> list[str]:
    wanted = split.findings.wanted
    has = np.bincount(wanted.image[wanted.label == label], minlength=len(split)) > 0
    return ["yes" if each else "" for each in has]


def _sentences(
    search: SliceSearch, evidence: FindingEvidence, attributes: list[Attribute], median: float
) -> Iterator[str]:
    score = evidence.kind.score
    if not search.candidates:
        yield (
            f"Too few images to look for slices: no value has {search.min_images} of the {len(evidence.val):,} validation "
            "images. Collect more validation images."
        )
        return
    for each in search.confirmed:
        yield _sentence(each, evidence, attributes, median)
    if not search.confirmed:
        yield f"No slice with a lower {score} is confirmed on test."
    unconfirmed = len(search.slices) - len(search.confirmed)
    rest = f"; {unconfirmed} more were worse on validation, but test does not confirm them" if unconfirmed else ""
    yield (
        f"{search.candidates:,} slices of {search.min_images} or more validation images were compared with the other images "
        f"by the fraction that scores below the median{rest}."
    )


def _sentence(each: Slice, evidence: FindingEvidence, attributes: list[Attribute], median: float) -> str:
    by_name = {attribute.name: attribute for attribute in attributes}
    inside = np.all([by_name[n].test == by_name[n].values.index(value) for n, value in each.conditions], axis=0)
    scores, name = evidence.test.findings.score, evidence.kind.score
    return (
        f"{each.name}: {name} {percent(float(scores[inside].mean()))} on average on {each.test.images:,} test images, "
        f"{percent(float(scores[~inside].mean()))} on the others; {percent(each.test.error_rate)} score below "
        f"{percent(median)}, {percent(each.test.other_error_rate)} of the others ({p_phrase(each.p_test)})."
    )
