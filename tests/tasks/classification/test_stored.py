"""A report says everything that was shown when it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import RunError
from raytl.run.atomic import write_json
from raytl.tasks import stored_report
from raytl.tasks.classification.report import as_json
from raytl.tasks.classification.stored import stored

UNDEFINED = {"value": None, "low": None, "high": None}
REPORT: dict[str, Any] = {
    "run": "demo", "model": "test_resnet", "split": "test", "weights": "ab", "data": "cd", "skipped": 1,
    "images": 3,
    "look": 2,
    "metrics": {"accuracy": {"value": 2 / 3, "low": 0.25, "high": 1.0}},
    "classes": {
        "кошка": {"support": 3, "precision": {"value": 1.0, "low": 1.0, "high": 1.0}, "recall": UNDEFINED, "f1": UNDEFINED},
        "dog": {"support": 0, "precision": UNDEFINED, "recall": UNDEFINED, "f1": UNDEFINED},
    },
    "confusion": {"classes": ["кошка", "dog"], "cells": {"true": [0, 0], "predicted": [0, 1], "images": [2, 1]}},
    "mistakes": [{"key": "a/b.jpg", "path": "/a/b.jpg", "true": "кошка", "predicted": "dog", "probability": 0.9}],
    "looks": [{"look": 1, "who": "ana", "when": "2026-03-01T12:30:00+00:00", "weights": "ab"}],
    "intervals": {"method": "percentile bootstrap over 12 groups of images (data.columns)", "level": 0.95, "resamples": 20},
    "folder": "elsewhere",
    "fine_tuned_fraction": 0.25,
    "groups": 12,
    "calibration": {"temperature": 1.5, "uncalibrated": {"ece": 0.25, "log_loss": 0.75}},
}  # fmt: skip


def test_a_report_is_read_back_as_it_was_written_but_for_where_it_is_now(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", REPORT)
    assert as_json(stored(tmp_path)) == {**REPORT, "folder": str(tmp_path)}


def test_a_report_without_calibration_is_read_too(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {key: value for key, value in REPORT.items() if key != "calibration"})
    assert stored(tmp_path).calibration is None


def test_a_report_of_0_1_0_with_all_cells_of_its_matrix_is_read_too(tmp_path: Path) -> None:
    dense = {"classes": ["кошка", "dog"], "rows_are_true": [[2, 1], [0, 0]]}
    write_json(tmp_path / "report.json", {**REPORT, "confusion": dense})
    assert stored(tmp_path).matrix.tolist() == [[2, 1], [0, 0]]


@pytest.mark.parametrize(("more", "wrong"), [(2, "expected those of `classes`"), (25_000, "25,001 classes at most")])
def test_a_matrix_of_other_classes_is_rejected_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, wrong: str
) -> None:
    monkeypatch.setattr(stored_report, "matrix_of", lambda *_: pytest.fail("the matrix is built"))
    names = [*REPORT["classes"], *["more"] * more]
    write_json(tmp_path / "report.json", {**REPORT, "confusion": {**REPORT["confusion"], "classes": names}})
    with pytest.raises(RunError, match=rf"report\.json: .*{wrong}.*Restore the file"):
        stored(tmp_path)


@pytest.mark.parametrize(("pictures", "links"), [((), 0), (("reliability.png",), 1)])
def test_only_a_reliability_chart_that_exists_is_linked(tmp_path: Path, pictures: tuple[str, ...], links: int) -> None:
    write_json(tmp_path / "report.json", REPORT)
    for name in pictures:
        (tmp_path / name).touch()
    report = stored(tmp_path)
    assert report.to_markdown().count("(reliability.png)") == report.pictures.count("reliability.png") == links


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        json.dumps({**REPORT, "metrics": 1}).encode(),
        json.dumps({**REPORT, "confusion": {"classes": ["кошка", "dog"], "rows_are_true": [[1]]}}).encode(),
        json.dumps({**REPORT, "confusion": {"classes": ["cat"], "rows_are_true": [[1]]}}).encode(),
        json.dumps({**REPORT, "calibration": {"temperature": 0, "uncalibrated": {}}}).encode(),
        json.dumps({**REPORT, "looks": [{"look": 1}]}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_damaged_report_is_named_with_what_to_do(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "report.json").write_bytes(damage)
    with pytest.raises(RunError, match=r"report\.json: .*expected .*Restore the file, or move its folder"):
        stored(tmp_path)
