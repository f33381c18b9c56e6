"""`raytl check`: what would happen, or everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos


def test_a_good_experiment_is_laid_out(raytl: Raytl, tiny: Path, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    done = raytl("check", tiny, "--set", "transfer.unfreeze=2")
    assert done.code == 0
    for text in (
        "data: photos",
        "3 classes",
        "locked",
        "model: test_resnet",
        "layer4",
        "from epoch 2",
        "frozen",
        "centre crop to 32 px",
        "epoch 1: head, epoch 2: head + 2",
        "2 epochs ×",
        "1 worker on cpu, float32",
        f"no problems found; next: raytl train {tiny} --set transfer.unfreeze=2",
    ):
        assert text in done.out
    assert "reading images" in done.err


def test_the_plan_is_one_object_for_programs(raytl: Raytl, tiny: Path, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    done = raytl("check", tiny, "--json")
    plan = json.loads(done.out)
    assert sum(plan["images"].values()) == 36
    assert "test" not in plan["counts"]
    assert plan["stages"][-1]["name"] == "head"
    assert plan["experiment"]["transfer"]["unfreeze"] == 1
    assert plan["steps"] == 2 * plan["steps_per_epoch"]


def test_problems_of_data_and_model_come_together(raytl: Raytl, tiny: Path) -> None:
    done = raytl("check", tiny, "--set", "model.name=test_resnt", "--set", "data.uri=nowhere")
    assert done.code == 2
    assert "test_resnet" in done.err
    assert "nowhere" in done.err
    assert done.out == ""


def test_an_override_that_is_wrong_is_told(raytl: Raytl, tiny: Path) -> None:
    done = raytl("check", tiny, "--set", "optim.lrr=1", "--json")
    assert done.code == 2
    assert "--set optim.lrr: unknown key" in done.err
    assert json.loads(done.out)["error"] == "ConfigError"
