"""A resumed run continues from the weights that it began with, or says that they changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.errors import RunError
from raytl.run.atomic import write_json
from raytl.run.folder import RunFolder
from raytl.training.driver import _check_data

BEFORE, NOW = "a" * 64, "b" * 64


def planned(weights: str, digest: str) -> Any:
    experiment = Experiment(name="x", data="own/", model={"name": "m", "weights": weights})
    depth = SimpleNamespace(depth=SimpleNamespace(bits=8), reason="")
    dataset = SimpleNamespace(digest="abc", depth=depth, splits=SimpleNamespace(train=()))
    sources = SimpleNamespace(digests={})
    return SimpleNamespace(experiment=experiment, changes={}, dataset=dataset, sources=sources, weights_digest=digest)


def began(root: Path, **recorded: str) -> RunFolder:
    folder = RunFolder(root)
    write_json(folder.provenance, {"dataset": "abc", "bit_depth": 8, **recorded})
    return folder


@pytest.mark.parametrize(
    "weights", ["body.pth", "runs/other", "s3://bucket/body.safetensors", "models:r/trash@champion"]
)
def test_other_tensors_under_the_same_name_are_refused(tmp_path: Path, weights: str) -> None:
    folder = began(tmp_path, weights=BEFORE)
    _check_data(folder, planned(weights, BEFORE))
    text = (
        rf"(?s)model\.weights: {weights} changed since .*digest aaaaaaaaaaaa then, bbbbbbbbbbbb now.*Restore it.*--new"
    )
    with pytest.raises(RunError, match=text):
        _check_data(folder, planned(weights, NOW))


def test_runs_that_recorded_no_weights_and_weights_of_a_library_resume(tmp_path: Path) -> None:
    _check_data(began(tmp_path), planned("body.pth", NOW))
    _check_data(began(tmp_path, weights=BEFORE), planned("pretrained", NOW))
