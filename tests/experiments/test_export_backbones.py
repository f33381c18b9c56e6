"""The table of exported backbones says of each what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.bench import export_backbones as bench

GOOD = {"difference": 2e-7, "agreement": 1.0}
RECORD = {
    "name": "resnet18", "px": 224, "parameters": 11_200_000, "seconds": 3.2, "bytes": 45 << 20, "spread": 0.2,
    "onnxruntime": GOOD, "openvino": GOOD,
}  # fmt: skip


def test_a_row_has_the_differences_of_both_runtimes() -> None:
    assert bench.row(RECORD) == "| resnet18 | 224 | 11.2 M | 3 s | 2.0e-07 | 2.0e-07 | exported |"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"difference": 0.4, "agreement": 0.5}, "refused: openvino differs: 50 % of 8 classes agree"),
        ({"difference": 2e-3, "agreement": 1.0}, "refused: openvino differs: 100 % of 8 classes agree"),
        ({"difference": float("nan"), "agreement": 1.0}, "refused: openvino differs"),
        ({"error": "RuntimeError: no\n| op"}, "refused: openvino: RuntimeError: no / op"),
    ],
)
def test_what_differs_is_not_called_exported(wrong: dict[str, object], says: str) -> None:
    assert bench.verdict(RECORD | {"openvino": wrong}).startswith(says)


def test_a_backbone_that_killed_the_process_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = tmp_path / "records.jsonl"
    records.write_text(json.dumps(RECORD) + "\n" + json.dumps({"name": "alexnet", "started": True}) + "\n")
    tried: list[str] = []
    monkeypatch.setattr(bench, "names", lambda: ("resnet18", "alexnet", "dla34"))

    def record_of(name: str) -> dict[str, object]:
        tried.append(name)
        return RECORD | {"name": name}

    monkeypatch.setattr(bench, "record_of", record_of)
    bench.run(records)
    assert tried == ["dla34"]
    rows = [each["name"] + (each.get("refused") or "") for each in bench.read(records)]
    assert rows == ["resnet18", "alexnetthe process was killed while it was exported", "dla34"]


def test_the_table_is_put_between_the_markers_of_the_page(tmp_path: Path) -> None:
    records, page = tmp_path / "records.jsonl", tmp_path / "export.md"
    unfinished = {"name": "alexnet", "started": True}
    records.write_text(json.dumps(RECORD) + "\n" + json.dumps(unfinished) + "\n")
    page.write_text("before\n<!-- backbones: begin -->\nold\n<!-- backbones: end -->\nafter\n")
    bench.write_table(records, page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "1 of the 1 backbones tried are exported with parity" in text and bench.row(RECORD) in text
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="add both lines where the table should be"):
        bench.write_table(records, page)


def test_there_are_50_backbones_and_pictures_differ() -> None:
    assert len(set(bench.names())) == 50
    views = bench.pictures(32)
    assert views.shape == (8, 32, 32, 3) and np.unique(views.reshape(8, -1), axis=0).shape[0] == 8
