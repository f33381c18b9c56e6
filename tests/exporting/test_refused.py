"""Bad input of `raytl export`, as whole commands: one sentence, the exit code, and nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from raytl.exporting import graph
from tests.cli.conftest import Raytl


def without_split(run: Path, split: str) -> None:
    """Take the images of a split out of the record of a finished run, which stays whole."""
    record, manifest = run / "samples.jsonl", run / "manifest.json"
    lines = [line for line in record.read_text().splitlines() if json.loads(line)["split"] != split]
    record.write_text("\n".join(lines) + "\n")
    value = json.loads(manifest.read_text())
    content = record.read_bytes()
    value["files"]["samples.jsonl"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest.write_text(json.dumps(value))


def test_a_run_without_validation_images_is_not_exported(trained: Path, tmp_path: Path, raytl: Raytl) -> None:
    shutil.copytree(trained, tmp_path / "run")
    without_split(tmp_path / "run", "val")
    for words in (("export", "run", "--out", "out"), ("compress", "run", "--out", "out")):
        done = raytl(*words)
        assert done.code == 2 and "the run has no images in its val split (it has test, train)" in done.err, done.err
        assert [path for path in tmp_path.glob("out*/**/*") if path.is_file()] == []


class FullDisk:
    """A graph whose file is half-written when the disk is full."""

    def save(self, path: str) -> None:
        """Write a part, and fail as the system does."""
        Path(path).write_bytes(bytes(1000))
        raise OSError(errno.ENOSPC, "No space left on device", path)


@pytest.mark.parametrize("verb", ["export", "compress"])
def test_a_full_disk_leaves_no_half_of_a_bundle(
    verb: str, trained: Path, tmp_path: Path, raytl: Raytl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "export_program", lambda *arguments, **options: None)
    monkeypatch.setattr(torch.onnx, "export", lambda *arguments, **options: FullDisk())
    done = raytl(verb, str(trained), "--out", "out")
    assert done.code == 1, done.err
    assert "out" in done.err and "the disk is full; expected enough space free. Free some space" in done.err
    assert "Traceback" not in done.err + done.out
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def unknown_operator(*arguments: object, **options: object) -> None:
    """Fail as torch does for an operator that ONNX lacks: the reason is the last of three errors."""
    text = "No ONNX function found for <OpOverload(op='prims.bessel_j0', overload='default')>. Failure message: No decompositions"
    try:
        raise ValueError(text)
    except ValueError as error:
        raise RuntimeError("Failed to convert the exported program to an ONNX model.\nThis is step 3/3") from error


def test_an_operator_that_onnx_lacks_is_named(
    trained: Path, tmp_path: Path, raytl: Raytl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "export_program", lambda *arguments, **options: None)
    monkeypatch.setattr(torch.onnx, "export", unknown_operator)
    done = raytl("export", str(trained), "--out", "out")
    assert done.code == 2 and "test_resnet cannot be exported: its operator prims.bessel_j0;" in done.err, done.err
    assert "expected operators of ONNX opset 20" in done.err and list(tmp_path.iterdir()) == []
