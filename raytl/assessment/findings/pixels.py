"""Section: how right and how sure are the pixels of class maps, near boundaries and inside of things?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import numpy as np

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.plots import banded_chart
from raytl.assessment.section import Figure, Options, SectionResult, Table
from raytl.assessment.texts import bounds, percent
from raytl.metrics.confusion import Floats
from raytl.metrics.draws import group_sums
from raytl.metrics.finding_calibration import LEAST_IMAGES, binned_error, binned_reliability
from raytl.metrics.intervals import Interval, estimates
from raytl.metrics.miscalibration import CalibrationError
from raytl.metrics.pixels import Pixels, measure
from raytl.metrics.segmentation import TOLERANCE

_TITLE = "Pixels: how right, how sure, and where are the mistakes?"
_CLASSES = 30
_CAPTION = (
    "How often pixels of the test split are right, by the confidence of their answer. Gray: 95 % of calibrated models that err by "
    "{one}s as this one does lie inside. Dotted: as right as confident."
)


class PixelsSection:
    """See `raytl.assessment.section.Section`."""

    name = "pixels"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the calibration of the pixels, the errors near boundaries and elsewhere, and the IoU of each class on test."""
        pixels = evidence.test.findings.pixels
        assert pixels is not None, "evidence of class maps has pixels"
        scored = estimates(
            partial(measure, pixels), len(pixels.bins), seed=options.seed, groups=evidence.test.sampling_groups
        )
        bins = {"val": _bins(evidence.val), "test": _bins(evidence.test)}
        errors = {name: binned_error(each, options.seed) for name, each in bins.items()}
        return SectionResult(
            title=_TITLE,
            sentences=(
                *_places({name: each[0] for name, each in scored.items() if name != "iou"}),
                *_verdict(errors["test"], bins["test"]),
            ),
            tables=(_classes(evidence, pixels, scored["iou"]),),
            figures=(
                Figure(
                    "pixel-reliability",
                    "Reliability of pixels",
                    _CAPTION.format(one=evidence.test.unit_names[0]),
                    banded_chart(binned_reliability(bins["test"], options.seed), "pixels"),
                ),
            ),
            json={
                "scores": {name: asdict(each[0]) for name, each in scored.items() if name != "iou"},
                "calibration": {name: asdict(each) for name, each in errors.items()},
                "iou": {name: asdict(each) for name, each in zip(evidence.classes, scored["iou"], strict=True)},
            },
            warnings=_warnings(evidence.test, len(bins["test"])),
        )


SECTION = PixelsSection()


def _bins(split: SplitFindings) -> Floats:
    """Return the bins of what errs together, `(units, 15, 3)`: images, or groups of them."""
    pixels = split.findings.pixels
    assert pixels is not None, "evidence of class maps has pixels"
    return pixels.bins if split.sampling_groups is None else group_sums(pixels.bins, split.sampling_groups)


def _places(scored: dict[str, Interval]) -> Iterator[str]:
    """Yield where the wrong pixels are."""
    near, far, part = (scored[name] for name in ("near", "far", "near_part"))
    yield f"{bounds(scored['pixel_accuracy'])} of the test pixels are right, and the mean IoU is {bounds(scored['miou'])}."
    if np.isnan(part.value) or np.isnan(near.value):
        return
    yield (
        f"Within {100 * TOLERANCE:g} % of the diagonal of a true boundary, {bounds(near)} are wrong, elsewhere {bounds(far)}; "
        f"{percent(part.value)} of all wrong pixels are near a boundary."
    )


def _verdict(error: CalibrationError, bins: Floats) -> Iterator[str]:
    count, correct, sure = bins.sum(axis=(0, 1))
    if len(bins) < LEAST_IMAGES or not count:
        return
    measured = (
        f"confidence {percent(sure / count)} on average, {percent(correct / count)} right; calibration error {percent(error.value)}, "
        f"where calibrated models show {percent(error.mean)}, and up to {percent(error.high)} by chance"
    )
    if not error.is_evidence:
        yield f"No evidence that the confidence of pixels is wrong on test (p = {error.p:.2f}): {measured}."
        return
    way = "overconfident" if sure > correct else "underconfident"
    yield f"The pixels are {way} on test (p = {error.p:.3f}): {measured}."


def _classes(evidence: FindingEvidence, pixels: Pixels, iou: tuple[Interval, ...]) -> Table:
    """Return the classes, those with the lowest IoU first."""
    support = pixels.counts[:, 2]
    order = sorted(range(len(iou)), key=lambda i: (np.isnan(iou[i].value), iou[i].value))[:_CLASSES]
    rows = [
        (evidence.classes[i], bounds(iou[i]), f"{int((support[:, i] > 0).sum()):,}", percent(support[:, i].sum() / max(1, support.sum())))
        for i in order
    ]  # fmt: skip
    return Table(
        "IoU by class on test, the lowest first", ("class", "IoU", "images", "of the pixels"), tuple(rows), (1, 2, 3)
    )


def _warnings(test: SplitFindings, units: int) -> tuple[str, ...]:
    if units >= LEAST_IMAGES:
        return ()
    one, many = test.unit_names
    return (
        f"The confidence of pixels is not judged: pixels of one {one} err together, so it takes {LEAST_IMAGES} {many}, and there "
        f"are {units}.",
    )
