"""`raytl check`: what would happen, or everything that is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from raytl.config.schema import ModelConfig
from raytl.models.backbone import build
from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos, write_deep_photos


def test_a_good_experiment_is_laid_out_and_the_next_command_is_quoted(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos, tmp_path: Path
) -> None:
    make_photos(per_class=12, root=tmp_path / "photos #2")
    make_photos(per_class=1)
    tiny.rename(tmp_path / "it's tiny.yaml")
    done = raytl("check", "it's tiny.yaml", "--set", "transfer.unfreeze=2", "--set", "data.uri=photos #2")
    assert done.code == 0
    shown = " ".join(done.out.split())  # a long path breaks the line
    for text in (
        "data: photos #2",
        "3 classes",
        "locked",
        "model: test_resnet",
        "layer4",
        "from epoch 2",
        "frozen",
        "center crop to 32 px",
        "epoch 1: head, epoch 2: head + 2",
        "2 epochs ×",
        "1 worker on cpu, float32",
    ):
        assert text in shown
    following = """next: raytl train 'it'"'"'s tiny.yaml' --set transfer.unfreeze=2 --set 'data.uri=photos #2'\n"""
    assert following in done.out  # on one line, to be pasted
    assert "reading images" in done.err


def test_the_bit_depth_of_a_detectors_images_is_shown(raytl: Raytl, tiny: Path, tmp_path: Path) -> None:
    write_deep_photos(tmp_path / "photos", 12, per_class=12)
    done = raytl("check", tiny)
    assert re.search(r"bit depth +12 \(largest value 4095 in \d+ 16-bit training images\)", done.out)
    plan = json.loads(raytl("check", tiny, "--set", "data.bit_depth=14", "--json").out)
    depth = plan["bit_depth"]["depth"]
    assert (depth["bits"], depth["fixed"]) == (14, True)
    assert plan["preprocess"]["bit_depth"] == depth
    assert raytl("check", tiny, "--set", "data.bit_depth=7").code == 2


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


def test_a_size_that_the_model_cannot_be_trained_at_is_found_before_training(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos
) -> None:
    make_photos(per_class=12)
    asked = ("--set", "model.name=inception_v3", "--set", "model.preprocess.image_px=64")
    for command in ("check", "train"):
        done = raytl(command, tiny, *asked)
        assert done.code == 2, done.out
        assert "model.preprocess.image_px: inception_v3 cannot be trained on images of 64 px" in done.err
        assert "checkpoint" not in done.err


def test_an_old_name_and_what_was_taken_of_a_file_are_said(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos, tmp_path: Path
) -> None:
    make_photos(per_class=12)
    module = build(ModelConfig(name="test_resnet", weights="none"), 3).module
    torch.save({"model": {f"module.{n}": t for n, t in module.state_dict().items()}}, tmp_path / "w.pth")
    done = raytl("check", tiny, "--set", "model.weights=w.pth")
    assert "model.weights: w.pth: took 'model' without the prefix 'module.' (92 tensors)" in done.out
    notes = json.loads(raytl("check", tiny, "--set", "model.name=mnasnet_b1", "--json").out)["notes"]
    assert notes == ["model.name: timm renamed 'mnasnet_b1' to 'mnasnet_100'; using the new name"]


def test_a_wrong_override_is_reported(raytl: Raytl, tiny: Path) -> None:
    done = raytl("check", tiny, "--set", "optim.lrr=1", "--json")
    assert done.code == 2
    assert "--set optim.lrr: unknown key" in done.err
    assert json.loads(done.out)["error"] == "ConfigError"


@pytest.mark.s3
@pytest.mark.parametrize("stream", [False, True])
def test_of_a_bucket_it_lists_what_would_be_fetched_and_fetches_nothing(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos, bucket: str, s3_client: Any, own_cache: Path, stream: bool
) -> None:
    folder = make_photos(per_class=12)
    for path in folder.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"set/{path.relative_to(folder).as_posix()}")
    at = ("--set", f"data.uri=s3://{bucket}/set", "--set", f"data.stream={str(stream).lower()}")
    shown = raytl("check", tiny, *at)
    assert shown.code == 0, shown.err
    next_ = "raytl train" if stream else "raytl sync"
    for text in ("3 classes", "to read" if stream else "to download", "… 31 more", "36 files", next_):
        assert text in shown.out
    assert not list(own_cache.rglob("*.jpg"))
    plan = json.loads(raytl("check", tiny, *at, "--json").out)
    assert (plan["snapshot"], len(plan["to_fetch"]), sum(plan["images"].values())) == (None, 36, 36)
    assert raytl("sync", tiny, *at).code == 0
    again = json.loads(raytl("check", tiny, *at, "--json").out)
    assert again["to_fetch"] == {} and len(again["snapshot"]) == 16
    assert "raytl train" in raytl("check", tiny, *at).out


@pytest.mark.s3
def test_of_a_table_in_a_bucket_the_files_that_it_names_are_listed(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos, bucket: str, s3_client: Any
) -> None:
    folder = make_photos(per_class=12)
    rows = [f"{path.relative_to(folder).as_posix()},{path.parent.name}" for path in sorted(folder.rglob("*.jpg"))]
    for path in folder.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"set/{path.relative_to(folder).as_posix()}")
    rows[:6] = [f"s3://{bucket}/set/{row}" for row in rows[:6]]
    s3_client.put_object(Bucket=bucket, Key="set/rows.csv", Body="\n".join(["path,label", *rows]).encode())
    at = ("--set", f"data.uri=s3://{bucket}/set/rows.csv")
    assert len(json.loads(raytl("check", tiny, *at, "--json").out)["to_fetch"]) == 36
    assert raytl("sync", tiny, *at).code == 0
    assert json.loads(raytl("check", tiny, *at, "--json").out)["to_fetch"] == {}
