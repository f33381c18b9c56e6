"""Two groups of images are two witnesses: an interval ends at the groups' own means, and no chance is small enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.assessment.findings import calibration, pixels, sizes, thresholds, unfamiliar
from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.section import Options
from raytl.data.manifest import Sample
from raytl.tasks.multilabel.findings import FINDINGS
from tests.assessment.findings.made import evidence
from tests.assessment.findings.maps import map_evidence
from tests.assessment.findings.test_label_calibration import LABELS, made
from tests.assessment.findings.test_unfamiliar import strange


def halved(given: FindingEvidence) -> FindingEvidence:
    """Return the evidence with two groups in each split, of images that take turns."""
    val, test = (replace(each, groups=np.arange(len(each)) % 2) for each in (given.val, given.test))
    return replace(given, val=val, test=test)


def ends(mean: Callable[[NDArray[np.bool_]], float], count: int) -> list[float]:
    """Return the lower and the higher mean of the two groups of so many images."""
    return sorted(mean(np.arange(count) % 2 == group) for group in (0, 1))


def test_the_confidence_of_findings_of_two_groups_is_not_judged() -> None:
    result = calibration.SECTION(halved(evidence(sharpness=2.0)), Options())
    assert result.sentences[0].startswith("Calibration is not judged: ")
    assert "of one group err together, so it takes 8 groups of test images with reported" in result.warnings[0]
    assert all(row["ece"]["p"] >= 0.4 for row in result.json["findings"])
    assert "err by groups" in result.figures[0].caption


def test_what_is_found_of_a_size_has_the_interval_of_groups() -> None:
    given = halved(evidence())
    found, result = given.test.findings, sizes.SECTION(given, Options())
    for number, row in enumerate(result.json["sizes"]):
        own = found.wanted.size == number
        means = ends(lambda group, own=own: float(1 - found.missed[own & group[found.wanted.image]].mean()), 120)
        assert [row["recall"]["low"], row["recall"]["high"]] == pytest.approx(means)


def test_pixels_have_the_intervals_of_groups_and_are_not_judged() -> None:
    given = halved(map_evidence())
    result, bins = pixels.SECTION(given, Options()), given.test.findings.pixels
    assert bins is not None
    means = ends(lambda group: float(np.divide(*bins.bins[group].sum(axis=(0, 1))[[1, 0]])), 24)
    accuracy = result.json["scores"]["pixel_accuracy"]
    assert [accuracy["low"], accuracy["high"]] == pytest.approx(means)
    assert (
        "pixels of one group err together, so it takes 8 groups of test images, and there are 2" in result.warnings[0]
    )
    assert all(each["p"] >= 0.4 for each in result.json["calibration"].values())


def test_flagged_images_and_their_loss_are_drawn_by_groups() -> None:
    given = halved(strange(map_evidence(), 0.3))
    result = unfamiliar.SECTION(given, Options())
    alone = unfamiliar.SECTION(strange(map_evidence(), 0.3), Options())
    flagged = np.arange(24) < 6
    assert result.json["test_flagged"][1:] == pytest.approx(ends(lambda group: float(flagged[group].mean()), 24))
    assert result.json["loss"][0] == alone.json["loss"][0] and result.json["loss"] != alone.json["loss"]


def test_flagged_images_of_one_group_are_not_compared() -> None:
    given = strange(map_evidence(), 0.3)
    given = replace(given, test=replace(given.test, groups=np.minimum(np.arange(24), 6) // 6))
    assert unfamiliar.SECTION(given, Options()).json["loss"] is None


def test_labels_of_two_groups_are_not_accused() -> None:
    empty = np.zeros((300, 0))
    parts = [
        SplitFindings([Sample("", "", None, name, "")] * 300, made(300, 0, wrong=2), empty, empty, empty)
        for name in ("val", "test")
    ]
    alone = FindingEvidence(LABELS, FINDINGS, *parts)
    accused, spared = (calibration.SECTION(each, Options()).json["labels"] for each in (alone, halved(alone)))
    assert min(label["p"] for label in accused) < 0.05 <= min(label["p"] for label in spared)


def test_curves_of_groups_say_that_they_have_no_intervals() -> None:
    caption = thresholds.SECTION(halved(evidence(40, 40)), Options()).figures[0].caption
    assert "without intervals: images of a group are not independent" in caption
