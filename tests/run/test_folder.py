"""Opening runs, and the manifest that says a run is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from raytl.config.schema import DataConfig, Experiment, ModelConfig, StorageConfig
from raytl.errors import RunError
from raytl.run.folder import REQUIRED, RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    root = tmp_path / "runs" / "digits"
    (root / "checkpoints" / "best").mkdir(parents=True)
    (root / "tensorboard").mkdir()
    (root / "experiment.yaml").write_text("name: digits\n")
    (root / "samples.jsonl").write_text("")
    (root / "checkpoints" / "best" / "model.json").write_text("{}")
    (root / "checkpoints" / "best" / "model.safetensors").write_bytes(b"weights")
    (root / "raytl.log").write_text("noise")
    (root / "tensorboard" / "events").write_text("noise")
    return RunFolder.open(root)


def test_a_run_lies_in_the_storage_under_its_name() -> None:
    experiment = Experiment(
        name="a", data=DataConfig(uri="x"), model=ModelConfig(name="m"), storage=StorageConfig(uri="file:///tmp/runs")
    )
    assert RunFolder.of(experiment).root == Path("/tmp/runs/a")


def test_opening_what_is_not_there_lists_the_runs_beside_it(folder: RunFolder) -> None:
    with pytest.raises(RunError, match=r"digit: no such run folder; runs in .*runs: digits"):
        RunFolder.open(folder.root.parent / "digit")


def test_opening_a_folder_of_runs_names_them(folder: RunFolder) -> None:
    with pytest.raises(RunError, match=r"experiment.yaml is missing; it contains runs, specify one of them: .*digits"):
        RunFolder.open(folder.root.parent)


def test_opening_another_folder_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(RunError, match=r"not a run folder, experiment.yaml is missing; found cat.jpg"):
        RunFolder.open(tmp_path)


def test_opening_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").touch()
    with pytest.raises(RunError, match="found a file, expected the folder of a run"):
        RunFolder.open(tmp_path / "x.yaml")


def test_a_run_is_finished_once_its_manifest_is_written(folder: RunFolder) -> None:
    assert not folder.finished
    assert folder.verify() == [f"{folder.manifest}: missing; the run is not finished"]
    with pytest.raises(RunError, match="not finished"):
        folder.summary()
    folder.write_manifest({"best_epoch": 3})
    assert folder.finished
    assert folder.verify() == []
    assert folder.summary() == {"best_epoch": 3}


def test_the_manifest_leaves_out_what_changes_after_training(folder: RunFolder) -> None:
    folder.write_manifest({})
    assert sorted(json.loads(folder.manifest.read_text())["files"]) == [
        "checkpoints/best/model.json",
        "checkpoints/best/model.safetensors",
        "experiment.yaml",
        "samples.jsonl",
    ]
    folder.log.write_text("more noise")
    folder.ledger.write_text("{}\n")
    assert folder.verify() == []


def test_every_change_is_listed(folder: RunFolder) -> None:
    folder.write_manifest({})
    folder.experiment.unlink()
    weights = folder.best / "model.safetensors"
    weights.write_bytes(b"Weights")
    assert folder.verify() == [
        f"{weights}: content changed since the run ended (the sha256 differs)",
        f"{folder.experiment}: missing, though the manifest lists it",
    ]
    assert not folder.finished


def test_a_file_of_another_size_is_told_with_both_sizes(folder: RunFolder) -> None:
    folder.write_manifest({})
    (folder.best / "model.safetensors").write_bytes(b"w")
    assert re.search("found 1 bytes, expected 7", folder.verify()[0])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": []}', '{"files": {"x": {}}}'])
def test_a_damaged_manifest_is_no_manifest(text: str, folder: RunFolder) -> None:
    folder.manifest.write_text(text)
    assert not folder.finished


@pytest.mark.parametrize("left_out", [*REQUIRED, "files"])
def test_a_manifest_that_leaves_out_what_every_run_holds_vouches_for_nothing(left_out: str, folder: RunFolder) -> None:
    folder.write_manifest({})
    manifest = json.loads(folder.manifest.read_text())
    if left_out == "files":
        manifest["files"] = {}
    else:
        del manifest["files"][left_out]
    folder.manifest.write_text(json.dumps(manifest))
    expected = REQUIRED if left_out == "files" else (left_out,)
    assert folder.verify() == [f"{folder.manifest}: does not list {name}, which every run has" for name in expected]
    assert not folder.finished


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"model.safetensors": {"bytes": 1, "sha256": "12"}},
            "files.model.safetensors.sha256: found the text '12'; expected 64",
        ),
        (
            {"../x": {"bytes": 1, "sha256": "0" * 64}},
            r"files.../x: found the text '../x'; expected a relative path inside",
        ),
        ({"x": {"bytes": -1, "sha256": "0" * 64}}, "files.x.bytes: found -1; expected a number from 0"),
    ],
)
def test_a_damaged_manifest_is_named_with_its_field(files: Any, problem: str, folder: RunFolder) -> None:
    folder.manifest.write_text(json.dumps({"format": 1, "summary": {}, "files": files}))
    (line,) = folder.verify()
    assert line.startswith(f"{folder.manifest}: {problem}")
    assert line.endswith("Restore the file, or train again with --new.")


def test_a_manifest_of_a_newer_raytl_is_refused_by_name(folder: RunFolder) -> None:
    folder.manifest.write_text(json.dumps({"format": 2, "summary": {}, "files": {}}))
    assert "format: found 2; expected 1, as a newer raytl wrote it (upgrade raytl to read it)" in folder.verify()[0]


def test_opening_brings_back_a_checkpoint_that_was_set_aside(folder: RunFolder) -> None:
    folder.best.rename(folder.best.with_name(".best.old"))
    assert (RunFolder.open(folder.root).best / "model.safetensors").read_bytes() == b"weights"
