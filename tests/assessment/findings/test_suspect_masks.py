from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from raytl.assessment.findings.crops import Crop
from raytl.assessment.findings.suspect_masks import suspect_masks
from raytl.assessment.section import Options
from raytl.data.manifest import Sample
from raytl.data.targets import Mask
from tests.assessment.findings.maps import Maps, map_evidence, scenes, split


def flawed() -> Maps:
    """Answers that are right; one annotation lacks a thing, one has a thing that is not there, one has another class."""
    truths, _ = scenes(6, 5)
    answers = [each.copy() for each in truths]
    truths[1][truths[1] == 1] = 0
    truths[2][:] = 0
    answers[2][:], truths[2][4:16, 4:18] = 0, 2
    truths[3][truths[3] == 2] = 1
    return truths, answers


def test_missing_false_and_confused_annotations_are_listed_the_largest_first() -> None:
    result = suspect_masks(replace(map_evidence(), val=split("val", flawed())), Options())
    rows = list(csv.DictReader(result.files["suspects.csv"].splitlines()))
    assert {(row["split"], row["image"], row["kind"]) for row in rows} == {
        ("val", "val/1.png", "missing"), ("val", "val/2.png", "not there"), ("val", "val/3.png", "other class"),
    }  # fmt: skip
    assert rows[0]["kind"] == "not there" and (rows[0]["x_min"], rows[0]["y_max"]) == ("4", "16")
    assert (rows[0]["annotated"], rows[0]["answered"]) == ("debris", "background")
    assert result.sentences[0].startswith("3 regions of 6 validation images and 24 training images are suspect")
    assert len(result.json["suspects"]) == 3 and not result.pictures


def test_outlines_that_are_a_pixel_off_are_not_suspect() -> None:
    result = suspect_masks(map_evidence(), Options())
    assert result.sentences[0].startswith("No annotation of 24 validation images and 24 training images is suspect")
    assert not result.tables


def test_the_regions_are_shown_in_their_photos_if_those_may_be_opened() -> None:
    asked: list[str] = []

    def opened(samples: Sequence[Sample]) -> list[Image.Image | None]:
        asked.extend(sample.key for sample in samples)
        return [None, *(Image.fromarray(np.full((32, 32, 3), 90, np.uint8)) for _ in samples[1:])]

    evidence = replace(map_evidence(), val=split("val", flawed()), train=None)
    (picture,) = suspect_masks(evidence, Options(open_photos=opened)).pictures
    assert asked[0] == "val/2.png" and len(asked) == 3
    assert picture.file == "suspect-masks" and picture.image.width > picture.image.height


def test_a_photo_of_another_resolution_than_its_mask_is_shown_in_that_of_the_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[tuple[int, int]] = []

    def drawn(crops: Sequence[Crop]) -> Image.Image:
        sizes.extend(crop.photo.size for crop in crops)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr("raytl.assessment.findings.suspect_masks.crop_sheet", drawn)
    val = split("val", flawed())
    masks = [replace(each, target=Mask("m", "/m", (), width=32, height=32)) for each in val.samples]
    evidence = replace(map_evidence(), val=replace(val, samples=masks), train=None)
    assert suspect_masks(
        evidence, Options(open_photos=lambda samples: [Image.new("RGB", (96, 96)) for _ in samples])
    ).pictures
    assert sizes == [(32, 32)] * 3
