from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.assessment.findings.pixels import SECTION
from raytl.assessment.section import Options
from raytl.metrics.pixels import Pixels
from tests.assessment.findings.maps import map_evidence, scenes, split


def pixels_of(part: object) -> Pixels:
    pixels = part.findings.pixels  # type: ignore[attr-defined]
    assert isinstance(pixels, Pixels)
    return pixels


def test_the_places_of_mistakes_the_calibration_and_the_classes_are_reported() -> None:
    evidence = map_evidence()
    result, text = SECTION(evidence, Options()), " ".join(SECTION(evidence, Options()).sentences)
    bins, edges = pixels_of(evidence.test).bins.sum(axis=(0, 1)), pixels_of(evidence.test).edges.sum(axis=0)
    assert result.json["scores"]["pixel_accuracy"]["value"] == pytest.approx(bins[1] / bins[0])
    assert result.json["scores"]["near_part"]["value"] == pytest.approx(edges[1] / (edges[1] + edges[3]))
    assert "of all wrong pixels are near a boundary" in text
    assert [row[0] for row in result.tables[0].rows][-1] == "background", "the lowest IoU first"
    assert [figure.file for figure in result.figures] == ["pixel-reliability"] and result.figures[0].draw(7.0).axes
    assert not result.warnings


def test_overconfident_pixels_are_named_and_calibrated_ones_are_not() -> None:
    evidence = map_evidence()
    bins = pixels_of(evidence.test).bins.sum(axis=(0, 1))
    right = float(bins[1] / bins[0])
    assert 0.9 < right < 0.98
    for confidence, expected in ((0.999, "The pixels are overconfident on test"), (right, "No evidence that")):
        test = split("test", scenes(24, 1), confidence)
        result = SECTION(replace(evidence, test=test), Options())
        assert any(text.startswith(expected) for text in result.sentences), result.sentences


def test_few_images_are_not_judged_and_this_is_said() -> None:
    evidence = replace(map_evidence(), test=split("test", scenes(4, 1)))
    result = SECTION(evidence, Options())
    assert not any("evidence" in text or "confident" in text for text in result.sentences)
    assert "it takes 8 test images, and there are 4" in result.warnings[0]
