"""`raytl submit`: the dry run, and the renamed option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Raytl

EXPERIMENT = "name: crops\ndata: {uri: 's3://crops/data'}\nmodel: {name: resnet18}\nstorage: {uri: 's3://crops/runs'}\n"


@pytest.fixture
def experiment(raytl: Raytl) -> Path:
    path = Path("crops.yaml")
    path.write_text(EXPERIMENT)
    return path


def test_a_dry_run_prints_the_job_and_submits_nothing(raytl: Raytl, experiment: Path) -> None:
    done = raytl("submit", "train", experiment, "--code", "image", "--dry-run", "--json")
    assert done.code == 0, done.err
    job = json.loads(done.out)
    assert job["entrypoint"] == "python -m raytl train experiment.yaml --set compute.cluster=auto"
    assert list(job["files"]) == ["experiment.yaml"]


def test_the_code_of_a_checkout_is_packaged(raytl: Raytl, experiment: Path) -> None:
    done = raytl("submit", "train", experiment, "--code", "checkout", "--dry-run", "--json")
    assert "raytl/cli/submit.py" in json.loads(done.out)["files"]


def test_the_old_name_of_an_option_is_an_error_that_names_the_new_one(raytl: Raytl, experiment: Path) -> None:
    done = raytl("submit", "train", experiment, "--raytl", "image", "--dry-run")
    assert done.code == 2
    assert "--raytl was renamed to --code; use --code image" in done.err
    assert "use --code checkout" in raytl("submit", "train", experiment, "--raytl", "code").err
    assert "--raytl" not in raytl("submit", "--help").out


def test_the_old_value_of_code_is_an_error_that_names_the_new_one(raytl: Raytl, experiment: Path) -> None:
    done = raytl("submit", "train", experiment, "--code", "code")
    assert done.code == 2
    assert "checkout" in done.err


def test_a_manifest_of_images_on_this_machine_is_refused_before_the_upload(raytl: Raytl, experiment: Path) -> None:
    Path("rows.csv").write_text("path,label\nphotos/1.jpg,red\n")
    done = raytl("submit", "train", experiment, "--set", "data.uri=rows.csv", "--code", "image", "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert "rows.csv: rows name images relative to the manifest, which a cluster cannot read" in " ".join(
        done.err.split()
    )
    Path("rows.csv").write_text("path,label\ns3://crops/1.jpg,red\n")
    assert raytl("submit", "train", experiment, "--set", "data.uri=rows.csv", "--code", "image", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("raytl.cli.submit.described", "interrupted; nothing was submitted"),
        ("raytl.cli.submit._submit", "detached; a job that was submitted continues: raytl jobs"),
    ],
)
def test_ctrl_c_says_whether_a_job_may_run(
    raytl: Raytl, experiment: Path, monkeypatch: pytest.MonkeyPatch, at: str, said: str
) -> None:
    monkeypatch.setattr(at, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    done = raytl("submit", "train", experiment, "--code", "image")
    assert (done.code, done.err.strip()) == (130, said)
