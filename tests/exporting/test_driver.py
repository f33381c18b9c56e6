"""`raytl export` as a whole: what it refuses, what it writes, and that nothing is left of what fails."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pytest

from raytl import export, load
from raytl.bundle.card import read_bundle
from raytl.bundle.opening import open_bundle
from raytl.bundle.processor import Processor
from raytl.errors import ModelError, UserError
from raytl.events import ignore
from raytl.exporting import driver
from raytl.exporting.driver import ExportOptions, ParityFailed, check_options
from raytl.exporting.parity import PARITY_FORMAT
from raytl.exporting.trained_run import TrainedRun, open_run
from raytl.feedback.reference import REFERENCE_FORMAT
from tests.cli.conftest import Raytl
from tests.exporting.graphs import network_bundle

WHOLE = Processor("modern", ("avx512_vnni", "avx512_bf16"))
PLAIN = Processor("old", ("avx2",))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"to": "tensorrt"}, "--to tensorrt: expected one of onnx, openvino, torch"),
        ({"precision": "fp16"}, "--precision fp16: expected one of fp32, bf16, int8"),
        ({"input": "video"}, "--input video: expected photo or crop"),
        ({"precision": "bf16"}, "ONNX Runtime has no bf16 kernels for CPUs; use --to openvino"),
        ({"to": "torch", "precision": "int8"}, "torch bundles are in fp32"),
        ({"to": "openvino", "input": "photo"}, "OpenVINO resizes otherwise than raytl.*use --input crop"),
        ({"to": "torch", "input": "photo"}, "views of one size; use --input crop"),
        ({"max_drop": -0.1}, "--max-drop -0.1: expected points from 0 to 100"),
    ],
)
def test_options_that_cannot_take_effect_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        check_options(ExportOptions(**options), WHOLE)


def test_a_processor_without_the_arithmetic_is_warned_about() -> None:
    assert check_options(ExportOptions("openvino", "int8"), WHOLE) == ()
    assert "no dot products of int8 (VNNI)" in check_options(ExportOptions("openvino", "int8"), PLAIN)[0]
    assert "has no bf16" in check_options(ExportOptions("openvino", "bf16"), PLAIN)[0]
    assert check_options(ExportOptions("onnx"), PLAIN) == ()


def test_a_runtime_that_is_not_installed_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "find_spec", lambda name: None if name == "openvino" else object())
    with pytest.raises(ModelError, match=r"openvino is not installed; run `pip install 'raytl\[openvino\]'`"):
        check_options(ExportOptions("openvino"), WHOLE)


def test_an_unfinished_run_is_refused_before_anything_is_exported(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "manifest.json").unlink()
    with pytest.raises(UserError, match="not finished"):
        export(run, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_never_replaced(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="found a folder with other files; expected a new folder"):
        export(trained, out=tmp_path, force=True, progress=False)
    with pytest.raises(UserError, match="found a file"):
        export(trained, out=tmp_path / "notes.txt", force=True, progress=False)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_a_bundle_of_views_that_fails_is_not_made_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def judged(run: Any, options: ExportOptions, operating: Any, gate: Any, draft: Path, on_event: Any) -> Any:
        tried.append(options.input)
        network_bundle(draft)  # ONNX has not the interpolation of the run, so it takes views
        raise ParityFailed("run", Mock(precision="fp32", images=3, failures=("agreement: found 90 %",)))

    for name in ("operating_of", "graph_limits"):
        monkeypatch.setattr(driver, name, lambda *_: None)
    monkeypatch.setattr(driver.Gate, "of", lambda *_: None)
    monkeypatch.setattr(driver, "_judged", judged)
    with pytest.raises(ParityFailed, match=r"does not answer as the saved model on 3 .*\nagreement: found 90 %"):
        driver.write_bundle(cast(TrainedRun, None), ExportOptions(), tmp_path, ignore)
    assert tried == [None]


@pytest.fixture(scope="session")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX bundle of the run, which no test changes."""
    out = tmp_path_factory.mktemp("exported") / "bundle"
    export(trained, out=out, progress=False)
    return out


@pytest.mark.thorough
def test_a_bundle_is_whole_and_answers_as_the_run(trained: Path, bundle: Path) -> None:
    names = {"README.md", "client.py", "model.json", "model.onnx", "monitor.json", "parity.json"}
    assert {each.name for each in bundle.iterdir()} == names
    card = read_bundle(bundle)
    assert set(card.files) == names - {"model.json"} and card.input == "photo"
    parity = PARITY_FORMAT.load(bundle / "parity.json")
    assert parity.passed and parity.agreement == 1 and parity.images > 0 and parity.corrupted_images > 0
    assert REFERENCE_FORMAT.load(bundle / "monitor.json").table.shape == (parity.images, 6)
    photo = open_run(str(trained), None, ignore).recorded("val")[0].path
    answer = open_bundle(bundle).model.predict(photo)
    assert answer["probabilities"] == pytest.approx(dict(load(str(trained)).predict(photo).probabilities), abs=1e-3)


@pytest.mark.thorough
def test_a_tampered_graph_is_refused(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    graph = tmp_path / "b" / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    with pytest.raises(ModelError, match="model.onnx: its sha256 differs"):
        open_bundle(tmp_path / "b")


@pytest.mark.thorough
def test_a_bundle_that_answers_otherwise_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raytl: Raytl
) -> None:
    real = driver.write_base

    def skewed(run: Any, saved: Any, out: Path, *rest: Any, **options: Any) -> Any:
        preprocess = replace(saved.card.preprocess, mean=(0.1, 0.9, 0.1))
        return real(run, replace(saved, card=replace(saved.card, preprocess=preprocess)), out, *rest, **options)

    monkeypatch.setattr(driver, "write_base", skewed)
    done = raytl("export", str(trained), "--out", str(tmp_path / "out"))
    assert done.code == 1 and "does not answer as the saved model" in done.err and "nothing was written" in done.err
    assert "failed" in done.out and not list(tmp_path.iterdir())
    with pytest.raises(ParityFailed, match="nothing was written") as failed:
        export(trained, out=tmp_path / "out", progress=False)
    assert not failed.value.parity.passed and failed.value.parity.failures


@pytest.mark.thorough
def test_a_bundle_lies_in_its_run_and_is_replaced_only_with_force(trained: Path, tmp_path: Path, raytl: Raytl) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    words = ("export", str(run), "--to", "openvino", "--precision", "int8", "--max-drop", "100", "--json")
    done = raytl(*words)
    assert done.code in (0, 1), done.err
    if done.code:  # 12 validation images of noise: the gate may refuse
        assert "does not answer" in done.err and not (run / "bundles" / "openvino-int8").exists()
        return
    value = json.loads(done.out)
    assert Path(value["out"]) == run / "bundles" / "openvino-int8" and value["card"]["precision"] == "int8"
    again = raytl(*words)
    assert again.code == 2 and "there is a bundle" in again.err and "--force" in again.err
    assert open_run(str(run), None, ignore).card.digest == value["card"]["origin"]["weights"], "the run is unchanged"
    assert np.isfinite(value["parity"]["temperature_factor"])


@pytest.mark.thorough
def test_a_bundle_in_place_of_a_run_is_an_error_that_names_the_run(trained: Path, bundle: Path) -> None:
    with pytest.raises(ModelError, match=f"a bundle of `raytl export`, of the run {trained.name}; expected a run"):
        load(str(bundle))
