"""The reports of labels and class maps, from the evaluation to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.assessment.report import Assessment, report
from raytl.data.annotations import rle
from raytl.data.targets import Instance, Instances, Labels, Target
from raytl.evaluation.evaluate import evaluate
from raytl.run import RunFolder, journal
from tests.assessment.findings.untrained import PX, untrained_run
from tests.assessment.test_sections import validated
from tests.conftest import MakePhotos


def looked_at_once(folder: RunFolder) -> Assessment:
    """Return the report of a run whose test images are gone after its evaluation."""
    evaluate(folder.root, resamples=20)
    for record in journal.read(folder.samples):
        if record["split"] == "test":
            Path(str(record["path"])).unlink()
    ledger = folder.ledger.read_bytes()
    result = report(folder.root, photos=3)
    assert folder.ledger.read_bytes() == ledger
    assert result.images == {"train": 3, "val": 6, "test": 9}
    validated(result)
    return result


@pytest.mark.thorough
def test_labels_are_reported_from_one_look_without_their_test_images(make_photos: MakePhotos, tmp_path: Path) -> None:
    targets = (Labels(("cat",)), Labels(("cat", "dog")), Labels(("dog",), ("cat",)), Labels(()))
    result = looked_at_once(
        untrained_run("multilabel", ("cat", "dog"), {}, targets, make_photos(per_class=6, px=PX), tmp_path / "runs")
    )
    assert list(result.sections) == [
        "calibration", "thresholds", "unfamiliar", "slices", "context", "suspects", "robustness",
    ]  # fmt: skip


@pytest.mark.thorough
def test_class_maps_are_reported_from_one_look_without_their_test_images(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.tasks.segmentation.report.draw", lambda *_: None)
    model: dict[str, Any] = {"head": "fpn", "neck": {"channels": 32}, "preprocess": {"image_px": [64, 48]}}
    targets: tuple[Target, ...] = (square("dog", 4), square("dog", 16), Instances(PX, PX, ()))
    folder = untrained_run(
        "segmentation", ("background", "dog"), model, targets, make_photos(per_class=6, px=PX), tmp_path / "runs"
    )
    result = looked_at_once(folder)
    assert list(result.sections) == ["pixels", "sizes", "unfamiliar", "slices", "suspects", "robustness"]
    assert "suspects.csv" in {path.name for path in Path(result.folder).iterdir()}


def square(label: str, side: int) -> Instances:
    """A square of this side in the photo's corner."""
    mask = np.zeros((PX, PX), bool)
    mask[:side, :side] = True
    return Instances(PX, PX, (Instance(label, rle.from_bitmap(mask)),))
