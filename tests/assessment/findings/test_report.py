"""The report of a detector, from its evaluation to the page."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from raytl.assessment.report import report
from raytl.config.dump import to_yaml
from raytl.config.schema import DataConfig, Experiment, ModelConfig, StorageConfig
from raytl.data.manifest import Sample
from raytl.data.targets import Box, Boxes
from raytl.evaluation.evaluate import evaluate
from raytl.models.saved_model import Card, save_model
from raytl.run import RunFolder, journal
from raytl.run.atomic import write_text
from raytl.run.plain import plain
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.registry import task_named
from tests.assessment.test_sections import validated
from tests.conftest import MakePhotos

CLASSES = ("cat", "dog")
MODEL = {
    "name": "test_resnet",
    "weights": "none",
    "head": "fcos",
    "neck": {"channels": 32},
    "preprocess": {"image_px": [64, 48]},
}


@pytest.fixture
def detector(make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A finished run of a detector that was not trained: 3 train, 6 validation and 9 test photos with two boxes each."""
    monkeypatch.setattr("raytl.tasks.detection.report.draw", lambda *_: None)
    root = make_photos(per_class=6, px=36)
    model = ModelConfig.model_validate(MODEL)
    experiment = Experiment(
        name="demo", task="detection", data=DataConfig(uri=str(root)), model=model,
        storage=StorageConfig(uri=str(tmp_path / "runs")),
    )  # fmt: skip
    folder = RunFolder.of(experiment)
    write_text(folder.experiment, to_yaml(experiment))
    boxes = Boxes(36, 36, (Box("cat", 2, 2, 20, 20), Box("dog", 20, 10, 34, 34)))
    for number, path in enumerate(sorted(root.rglob("*.jpg"))):
        split = ("train", "val", "val", "test", "test", "test")[number % 6]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        sample = Sample(str(path.relative_to(root)), str(path), boxes, split, digest)
        journal.append(folder.samples, sample.record())
    torch.manual_seed(0)
    backbone = task_named("detection").build(model, CLASSES, ENVIRONMENT)
    card = Card(
        model.name,
        CLASSES,
        backbone.preprocess,
        backbone.weights_digest,
        task="detection",
        head="fcos",
        neck_channels=32,
    )
    save_model(folder.best, backbone.module, card)
    folder.write_manifest({"epochs": 1})
    return folder


@pytest.mark.thorough
def test_a_detector_is_reported_from_one_look_without_its_test_images(detector: RunFolder) -> None:
    evaluate(detector.root, resamples=20)
    for record in journal.read(detector.samples):
        if record["split"] == "test":
            Path(str(record["path"])).unlink()
    ledger = detector.ledger.read_bytes()
    result = report(detector.root, photos=3)
    assert detector.ledger.read_bytes() == ledger
    assert list(result.sections) == [
        "calibration",
        "thresholds",
        "sizes",
        "unfamiliar",
        "slices",
        "suspects",
        "robustness",
    ]
    assert result.images == {"train": 3, "val": 6, "test": 9}
    validated(result)
    names = {path.name for path in Path(result.folder).iterdir()}
    assert names >= {"report.html", "MODEL_CARD.md", "sizes.png", "robustness.png", "suspects.csv", "slices.csv"}
    stored = json.loads((Path(result.folder) / "report.json").read_text())
    again = plain(report(detector.root, sections=["sizes", "robustness"], photos=3).to_json())["sections"]
    assert again["robustness"] == stored["sections"]["robustness"], "the corrupted photos are scored once"
    assert len(again["robustness"]["data"]["responses"]) == 2 and again["sizes"] == stored["sections"]["sizes"]
