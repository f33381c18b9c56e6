"""The tasks other than classes: a run is exported through the gate, and its bundles are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl import export
from raytl.bundle.card import Runtime, read_bundle
from raytl.events import ignore
from raytl.exporting.parity import PARITY_FORMAT
from raytl.exporting.trained_run import open_run
from raytl.serving.options import ServeOptions
from raytl.serving.running import running
from raytl.training.driver import train
from tests.serving.conftest import Client
from tests.training.scenes import toy_task, write_scenes

SEES = {"predict.score": 0.06}
"""A detector of one epoch is as sure as this."""
CASES: tuple[tuple[str, Runtime, str, dict[str, Any]], ...] = (
    ("multilabel", "openvino", "probabilities", {}),
    ("segmentation", "onnx", "map_png", {}),
    ("detection", "openvino", "objects", SEES | {"train.epochs": 6, "optim.lr": 1e-2, "transfer.unfreeze": "all"}),
)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes; not to be written to."""
    return write_scenes(tmp_path_factory.mktemp("exported-scenes"))


@pytest.mark.thorough
@pytest.mark.parametrize(("task", "to", "field", "changes"), CASES, ids=[case[0] for case in CASES])
def test_a_run_of_a_task_is_exported_and_served(
    task: str, to: Runtime, field: str, changes: dict[str, Any], scenes: Path, tmp_path: Path
) -> None:
    run = train(toy_task(task, scenes, tmp_path / "runs", changes)).run
    out = tmp_path / "bundle"
    export(run, to, out=out, progress=False)
    parity = PARITY_FORMAT.load(out / "parity.json")
    assert parity.passed and parity.images == 6 and parity.agreement > 0.999
    card = read_bundle(out)
    assert (card.task, card.runtime, card.precision) == (task, to, "fp32")
    photo = Path(open_run(run, None, ignore).recorded("val")[0].path)
    with running(ServeOptions(str(out), workers=1)) as service:
        response = Client(service).post("/predict", photo.read_bytes(), "image/png")
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["version"] and answer[field], "an empty answer shows nothing"
    if field == "objects":
        assert all(each["score"] >= 0.06 and each["label"] in card.classes for each in answer["objects"])
