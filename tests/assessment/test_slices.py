from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from raytl.assessment.section import Evidence, Options, SplitEvidence
from raytl.assessment.slices import SECTION, attributes
from tests.assessment.conftest import MakeEvidence, with_column

_WIDE = 7.0


def _weak(part: SplitEvidence, seed: int) -> SplitEvidence:
    """Return answers that are right, but for half of the dark images of camera B and a few others."""
    rng = np.random.default_rng(seed)
    camera = np.array(part.column("camera"))
    odds = np.where((camera == "B") & (part.properties[:, 0] < -0.4), 0.7, 0.08)
    wrong = rng.random(len(part)) < odds
    answered = np.where(wrong, (part.targets + 1) % 3, part.targets)
    return replace(part, logits=(5 * np.eye(3)[answered]).astype(np.float32))


def _evidence(make: MakeEvidence) -> Evidence:
    evidence = with_column(
        make(val=500, test=500), "camera", "slice", lambda part: ["AB"[i % 2] for i in range(len(part))]
    )
    return replace(evidence, val=_weak(evidence.val, 1), test=_weak(evidence.test, 2))


@pytest.mark.parametrize("column", ["cluster", "class"])
def test_a_column_that_is_called_as_a_computed_attribute_is_told_apart(
    make_evidence: MakeEvidence, column: str
) -> None:
    parts = {}
    for name in ("val", "test"):
        part = getattr(make_evidence(val=200, test=200), name)
        weak = np.arange(len(part)) % 3 == 0
        samples = [
            replace(each, columns=((column, "A" if i % 3 == 0 else "B"),)) for i, each in enumerate(part.samples)
        ]
        logits = (5 * np.eye(3)[(part.targets + weak) % 3]).astype(np.float32)
        parts[name] = replace(part, samples=samples, logits=logits)
    result = SECTION(replace(make_evidence(), **parts, columns={column: "slice"}), Options())
    assert result.sentences[0].startswith(f"{column} (column) = A: 100 % errors")
    assert result.figures[0].title == f"Mistakes in the worst slice: {column} (column) = A"


def test_a_weak_slice_of_metadata_and_a_property_is_found_listed_and_shown(make_evidence: MakeEvidence) -> None:
    evidence = _evidence(make_evidence)
    result = SECTION(evidence, Options())
    assert result.sentences[0].startswith("camera = B, brightness = below")
    rows = list(csv.DictReader(result.files["slices.csv"].splitlines()))
    assert rows[0]["slice"].startswith("camera = B, brightness = below") and rows[0]["confirmed"] == "yes"
    assert len(rows) == len(result.json["slices"]) == len(result.tables[0].rows)
    assert result.figures[0].draw(_WIDE).axes


def test_random_errors_are_no_slice(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(val=200, test=200)
    evidence = replace(
        evidence, test=replace(evidence.test, logits=(5 * np.eye(3)[evidence.test.targets]).astype(np.float32))
    )
    result = SECTION(evidence, Options())
    assert result.sentences[0] == "No slice with more errors is confirmed on test." and not result.figures


def test_few_validation_images_are_said_to_be_too_few(make_evidence: MakeEvidence) -> None:
    result = SECTION(make_evidence(val=12, test=40), Options())
    assert "Too few images to look for slices: no value has 20 of the 12 validation images" in result.sentences[0]


def test_a_split_without_features_is_sliced_by_class_alone(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(val=60, test=60)
    bare = replace(evidence.val, features=np.zeros((60, 0), np.float16), properties=np.zeros((60, 0), np.float32))
    assert [each.name for each in attributes(replace(evidence, val=bare), 0)] == ["class"]
