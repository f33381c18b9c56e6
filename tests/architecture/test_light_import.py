"""What each verb must not import. Imports are most of the time until a command answers, or takes its first step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.sources import REPO, modules

HEAVY = ("torch", "torchvision", "timm", "ray")
VENDORS = (*HEAVY, "matplotlib", "pandas", "pyarrow", "boto3", "PIL", "typer")
LIGHT = ("config", "run", "store", "cli")
NOT_FOR_LIGHT_VERBS = (*HEAVY, "matplotlib", "pandas", "pyarrow", "scipy", "optuna", "tensorboard")
NOT_FOR_A_STEP = (
    "ray", "torch._inductor", "torch._dynamo.symbolic_convert", "sympy", "triton", "scipy.stats", "scipy.spatial", "sklearn",
    "matplotlib", "pandas", "pyarrow", "boto3", "botocore", "tensorboard", "optuna", "plotly", "onnx", "faster_coco_eval",
)  # fmt: skip
"""torch's compiler, Ray, and what is used at the end of a run or by other verbs."""
LIGHT_VERBS = (
    "--help", "check wrong.yaml", "train wrong.yaml", "tune wrong.yaml", "submit train wrong.yaml", "runs runs",
    "models list models", "schema",
)  # fmt: skip
VERBS = """
import json, sys
from typer.testing import CliRunner
from raytl.cli.main import app
vendors, *verbs = map(json.loads, sys.argv[1:])
for verb in verbs:
    done = CliRunner().invoke(app, verb.split())
    assert done.exit_code in (0, 1, 2), done.output
print("loaded:", *sorted(set(vendors) & set(sys.modules)))
"""
TO_THE_FIRST_STEP = """
import json, os, sys
from raytl.eager import defer_compiler
defer_compiler()  # as `raytl.cli.main` does
import raytl.cli.main
from raytl.config.load import load_experiment
from raytl.events import Step
from raytl.training import driver, steps
steps.EVENT_EVERY_S = 0.0
vendors = json.loads(sys.argv[1])
def on_event(event):
    if isinstance(event, Step):
        print("loaded:", *sorted(set(vendors) & set(sys.modules)), flush=True)
        os._exit(0)
driver.train(load_experiment("experiment.yaml"), on_event=on_event)
"""


def loaded_by(code: str, vendors: tuple[str, ...], folder: Path = REPO, *words: str) -> set[str]:
    """Which of `vendors` are loaded by the end of `code` in a fresh Python in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(vendors), *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stdout.rpartition("loaded:")
    assert last[1], done.stdout + done.stderr
    return set(last[2].split())


def loaded_with(names: list[str], vendors: tuple[str, ...]) -> set[str]:
    """Which of `vendors` are loaded after importing `names`."""
    return loaded_by(f"import sys, {', '.join(names)}; print('loaded:', *set({vendors!r}) & set(sys.modules))", vendors)


def test_importing_raytl_loads_no_vendor() -> None:
    assert loaded_with(["raytl"], VENDORS) == set()


@pytest.mark.parametrize("part", LIGHT)
def test_importing_a_light_part_loads_no_heavy_vendor(part: str) -> None:
    names = [module.name for module in modules("raytl") if module.name.split(".")[1:2] == [part]]
    assert loaded_with([name for name in names if not name.endswith("__main__")] or ["raytl"], HEAVY) == set()


def test_a_process_of_trials_loads_no_scipy_and_no_optuna_before_its_first_trial() -> None:
    vendors = ("ray", "scipy", "optuna", "matplotlib", "pandas", "sklearn")
    assert loaded_with(["raytl.search.executor"], vendors) == set()


def test_verbs_that_train_nothing_load_no_heavy_vendor(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("name: x\ndata: photos\nmodel: resnet18\ntrain: {epoch: 3}\n")
    (tmp_path / "runs").mkdir()
    assert loaded_by(VERBS, NOT_FOR_LIGHT_VERBS, tmp_path, *map(json.dumps, LIGHT_VERBS)) == set()


def test_one_worker_that_classifies_takes_its_first_step_without_ray_and_the_compiler(
    make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "experiment.yaml").write_text(
        f"name: x\ndata: {make_photos(4)}\nmodel: {{name: test_resnet, weights: none, preprocess: {{image_px: 32}}}}\n"
        "train: {batch_size: 4}\ncompute: {device: cpu}\n"
    )
    assert loaded_by(TO_THE_FIRST_STEP, NOT_FOR_A_STEP, tmp_path) == set()
