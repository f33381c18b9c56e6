"""Findings are stored with the evidence, and read in the order of the samples; damaged ones are named."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from raytl.errors import RunError
from raytl.evaluation.evidence import EVIDENCE, read_evidence, write_evidence
from raytl.metrics.findings import Findings, Wanted
from tests.evaluation.test_evidence import ANSWERS, SAMPLES
from tests.evaluation.test_evidence import CARD as CLASSIFIER

CARD = replace(CLASSIFIER, task="detection")
BOXES = np.arange(12, dtype=np.float32).reshape(3, 4)
FINDINGS = Findings(
    image=np.array([0, 1, 1]), label=np.array([0, 1, 0]), confidence=np.array([0.9, 0.5, 0.25]), error=np.array([0, 5, 1]),
    truth=np.array([0, -1, 1]), size=np.array([0, 1, 2]), boxes=BOXES,
    wanted=Wanted(np.array([0, 1]), np.array([0, 1]), np.array([0, 2]), np.array([0.9, 0.0]), BOXES[:2]),
    thresholds=np.array([0.3, 0.4]), score=np.array([1.0, 0.0, 0.5]),
)  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    """Write the findings with some tensors replaced, or removed by None."""
    write_evidence(folder, replace(ANSWERS, logits=np.zeros((3, 0), np.float32), findings=FINDINGS), "test", CARD)
    tensors = load_file(folder / EVIDENCE) | {name.replace("__", "."): value for name, value in changes.items()}
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / EVIDENCE)
    return folder


def same(one: Findings, other: Findings) -> None:
    for part, expected in ((one, other), (one.wanted, other.wanted)):
        for each in fields(part):
            if each.name not in ("wanted", "pixels", "unknown"):
                np.testing.assert_allclose(getattr(part, each.name), getattr(expected, each.name), atol=1e-6)


def test_findings_are_read_as_they_were_written(tmp_path: Path) -> None:
    answers = read_evidence(written(tmp_path), "test", CARD, SAMPLES)
    assert answers.findings is not None and answers.logits.shape == (3, 0)
    same(answers.findings, FINDINGS)
    assert answers.findings.image.dtype == np.int64 and answers.findings.truth.dtype == np.int64


def test_findings_follow_their_images(tmp_path: Path) -> None:
    findings = read_evidence(written(tmp_path), "test", CARD, SAMPLES[::-1]).findings
    assert findings is not None
    assert findings.image.tolist() == [2, 1, 1] and findings.wanted.image.tolist() == [2, 1]
    assert findings.score.tolist() == [0.5, 0.0, 1.0]


def test_findings_without_places_have_boxes_without_columns(tmp_path: Path) -> None:
    bare = {"findings__boxes": np.zeros((3, 0), np.float32), "wanted__boxes": np.zeros((2, 0), np.float32)}
    findings = read_evidence(written(tmp_path, **bare), "test", replace(CARD, task="multilabel"), SAMPLES).findings
    assert findings is not None and findings.boxes.shape == (3, 0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"findings__image": np.array([0, 1, 3], np.int32)},
            "findings.image: found others; expected whole numbers from 0 to 2",
        ),
        ({"findings__label": np.array([0, -1, 0], np.int32)}, "findings.label: found others"),
        ({"findings__truth": np.array([0, 0, 1], np.int32)}, "findings.truth: found things of other images"),
        (
            {"wanted__boxes": np.zeros((2, 0), np.float32)},
            "wanted.boxes: found 0 columns; expected 4, as findings.boxes",
        ),
        (
            {"findings__truth": np.array([0, 2, 1], np.int32)},
            "findings.truth: found others; expected whole numbers from -1 to 1",
        ),
        ({"findings__error": np.array([0, 6, 1], np.int8)}, "findings.error: found others"),
        ({"findings__size": np.array([0, 3, 1], np.int8)}, "findings.size: found others"),
        (
            {"findings__confidence": np.array([0.5, np.nan, 0], np.float32)},
            "findings.confidence: .* values from 0 to 1",
        ),
        (
            {"findings__confidence": np.zeros(2, np.float32)},
            r"findings.confidence: found shape \(2,\); expected \(3,\)",
        ),
        ({"findings__confidence": np.zeros(3)}, r"findings.confidence: found float64 \(3,\); expected float32"),
        ({"findings__image": np.array(0, np.int32)}, r"findings.image: found int32 \(\)"),
        ({"findings__boxes": np.zeros((3, 5), np.float32)}, "findings.boxes: found 5 columns; expected 0 or 4"),
        ({"findings__boxes": np.full((3, 4), np.inf, np.float32)}, "findings.boxes: .* coordinates in pixels"),
        (
            {"findings__thresholds": np.zeros(3, np.float32)},
            r"findings.thresholds: found shape \(3,\); expected \(2,\)",
        ),
        ({"findings__score": np.full(3, 1.5, np.float32)}, "findings.score: .* values from 0 to 1"),
        ({"wanted__confidence": None}, "wanted.confidence: found no such array"),
        ({"wanted__label": np.array([0, 2], np.int32)}, "wanted.label: found others"),
        ({"logits": np.zeros((3, 2), np.float32)}, r"logits: found float32 \(3, 2\); expected float32 \(3, 0\)"),
    ],
)
def test_damaged_findings_are_an_error_with_advice(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(RunError, match=text) as raised:
        read_evidence(written(tmp_path, **changes), "test", CARD, SAMPLES)
    assert "--again" in str(raised.value)


@pytest.mark.parametrize("task", ["multilabel", "segmentation"])
def test_findings_are_those_of_the_task_of_the_run(tmp_path: Path, task: str) -> None:
    with pytest.raises(RunError, match=f"found answers of another task; expected those of {task}"):
        read_evidence(written(tmp_path), "test", replace(CARD, task=task), SAMPLES)


def test_findings_of_a_classifier_are_those_of_another_task(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="found answers of another task; expected those of classification"):
        read_evidence(written(tmp_path), "test", CLASSIFIER, SAMPLES)
