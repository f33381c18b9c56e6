"""Real ImageNet weights on real photos, through the command line, from the shipped experiment files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.assets, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

REPO = Path(__file__).resolve().parents[2]


def raytl(*words: str, assets: Path) -> dict[str, Any]:
    """The JSON that a verb ends its standard output with."""
    environment = os.environ | {"RAYTL_ASSETS": str(assets)}
    environment.pop("OMP_NUM_THREADS", None)  # the tests' one thread is not for training
    command = [sys.executable, "-m", "raytl", *words, "--json"]
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    ("experiment", "at_least"),
    [("trash-mobilenetv2", 0.91), ("trash-vit-tiny", 0.876), ("signs-mobilenetv2", 0.98)],
)
def test_fine_tuning_earns_its_cost(experiment: str, at_least: float, assets: Path, tmp_path: Path) -> None:
    trained = raytl("train", f"experiments/{experiment}.yaml", "--set", f"storage.uri={tmp_path}", assets=assets)
    assert trained["status"] == "trained"
    found = raytl("evaluate", trained["run"], assets=assets)
    accuracy = found["metrics"]["accuracy"]["value"]
    assert accuracy >= at_least, f"{experiment}: {accuracy:.3f}"
