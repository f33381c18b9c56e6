"""`raytl compress` as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytl import compress, load
from raytl.bundle.card import read_bundle
from raytl.bundle.opening import open_bundle
from raytl.cli.compress import compression_tables
from raytl.cli.terminal import Terminal
from raytl.data.sample import Sample
from raytl.errors import ModelError, RunError, UserError
from raytl.evaluation.evaluate import verified_card
from raytl.evaluation.record import recorded
from raytl.events import OnEvent, ignore
from raytl.exporting.base import view_of
from raytl.exporting.compress import candidate, driver
from raytl.exporting.compress import search as searching
from raytl.exporting.compress.distill import Distillation
from raytl.exporting.compress.driver import check_options, refuse_other_answers, trainings
from raytl.exporting.compress.outcome import Outcome
from raytl.exporting.compress.search import work_folder
from raytl.exporting.trained_run import open_run
from raytl.run.folder import RunFolder
from raytl.run.owner import sole_owner
from raytl.tasks.saved import Saved
from raytl.training.job import TrainJob
from tests.cli.conftest import Raytl
from tests.exporting.compress.outcomes import compression, outcome


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target_ms": 0.0}, "--target-ms 0: expected more than 0"),
        ({"max_drop": -1.0}, "--max-drop -1: expected points of accuracy from 0 to 100"),
        ({"threads": 99_999}, "--threads 99999: expected 1 to"),
        (
            {"distillation": Distillation(student="resnet18")},
            "--student: nothing is trained with it; add --methods distill,",
        ),
        (
            {"distillation": Distillation(("a",), epochs=2)},
            "--teacher, --epochs: nothing is trained .* distill or prune",
        ),
        (
            {"fractions": (0.3,), "names": ["distill"]},
            "--prune-fraction: nothing is trained with it; add --methods prune,",
        ),
        (
            {"distillation": Distillation(student="resnet18", epochs=2), "fractions": (0.3,)},
            "--student, --epochs, --prune-fraction: nothing is .* add --methods distill for --student and "
            "distill or prune for --epochs and prune for --prune-fraction, with others",
        ),
        ({"names": ["distill"]}, "--methods distill: name a smaller backbone with --student"),
        ({"names": ["prune"], "fractions": (2.0,)}, "--prune-fraction 2: expected more than 0"),
    ],
)
def test_options_that_cannot_take_effect_are_refused(options: dict[str, Any], text: str) -> None:
    values: dict[str, Any] = {"target_ms": 5.0, "max_drop": 0.5, "threads": 1, "names": ["onnx-int8"]}
    with pytest.raises(UserError, match=text):
        check_options(**{**values, "distillation": Distillation(), **options})


def test_methods_may_be_separated_by_spaces_too(raytl: Raytl) -> None:
    done = raytl("compress", "runs/trash", "--methods", "onnx-int8, distill")
    assert done.code == 2 and "--methods distill: name a smaller backbone with --student" in done.err


def test_pruned_networks_are_trained_before_the_student_each_under_its_name() -> None:
    both = Distillation(("teacher",), "resnet18", epochs=2)
    pruned = [Distillation(("teacher",), epochs=2, pruned=each) for each in (0.2, 0.4)]
    assert trainings(["prune", "distill"], both, (0.4, 0.2)) == {
        "prune-0.2": pruned[0],
        "prune-0.4": pruned[1],
        "distill": both,
    }
    assert trainings(["onnx-fp32", "prune"], Distillation(), ()) == {"prune-0.3": Distillation(pruned=0.3)}
    assert trainings(["onnx-fp32"], Distillation(), ()) == {}


def test_a_network_that_cannot_be_pruned_ends_the_command_before_another_is_trained(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(saved: Saved, fraction: float, folder: Path, on_event: OnEvent) -> Path:
        if fraction > 0.2:
            raise ModelError(f"cannot be pruned by {fraction:g}")
        return folder

    trainings: list[TrainJob] = []
    monkeypatch.setattr("raytl.exporting.compress.distill.write_pruned", write)
    monkeypatch.setattr("raytl.exporting.compress.distill.train_here", lambda job, emit: trainings.append(job))
    with pytest.raises(ModelError, match=r"cannot be pruned by 0.3"):
        driver.compress(str(trained), methods=["prune"], prune_fractions=[0.2, 0.3], out=tmp_path / "out")
    assert not trainings


def test_two_searches_for_one_folder_do_not_run_at_once(trained: Path, tmp_path: Path) -> None:
    with (
        sole_owner(work_folder(tmp_path / "out")),
        pytest.raises(RunError, match=r"out-search: another raytl \(pid \d+\) is working in this folder"),
    ):
        driver.compress(str(trained), methods=["onnx-fp32"], out=tmp_path / "out")


def test_without_onnx_runtime_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ModelError, match=r"onnxscript is not installed; run `pip install 'raytl\[export\]'`"):
        driver.compress("runs/trash", methods=["distill"], student="resnet18")


def test_a_run_without_validation_images_leaves_no_folder(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_val(folder: RunFolder, split: str) -> tuple[Sample, ...]:
        if split == "val":
            raise RunError("no images in its val split")
        return recorded(folder, split)

    monkeypatch.setattr("raytl.exporting.trained_run.recorded", without_val)
    with pytest.raises(RunError, match="no images in its val split"):
        driver.compress(str(trained), methods=["onnx-fp32"], out=tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_other_tasks_are_refused_with_the_command_that_serves_them(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(str(trained), None, ignore)
    monkeypatch.setattr("raytl.exporting.compress.driver.exporting_of", lambda task: None)
    with pytest.raises(UserError, match=r"are not compressed; expected a classifier.*raytl export --precision int8"):
        refuse_other_answers(run)


def test_the_calibration_images_are_training_images(trained: Path) -> None:
    run = open_run(str(trained), None, ignore)
    keys = {sample.key for sample in run.calibration_samples(ignore)}
    assert keys and keys <= {sample.key for sample in run.recorded("train")}
    assert run.decode(run.recorded("train")[0].path).ndim == 3


def test_a_view_is_that_of_the_saved_model(trained: Path) -> None:
    saved = open_run(str(trained), None, ignore).saved
    view = view_of(saved)
    assert (view.image_px, view.crop_mode, view.interpolation) == (32, "center", "bilinear")


def test_the_tables_name_the_best_and_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    refused = outcome("onnx-int8", 0.86, 3, 3, "rejected", -0.071, "may lose 7.1 points")
    result = compression(outcome("onnx-fp32", 0.91, 8, 9), refused, Outcome("openvino-bf16", "skipped", "no bf16"))
    Terminal.open().show(*compression_tables(result))
    text = capsys.readouterr().out
    assert "rejected: may lose 7.1 points" in text and "skipped: no bf16" in text and "2.67 x" in text
    assert "no candidate" not in text, "there is no shortfall"


@pytest.mark.thorough
def test_a_run_is_compressed_through_the_command_line(
    trained: Path, tmp_path: Path, raytl: Raytl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SECONDS", 0.1)
    out = tmp_path / "out"
    words = ("compress", str(trained), "--max-drop", "100", "--out", str(out), "--methods", "onnx-int8", "--json")
    done = raytl(*words, "--target-ms", "10000")
    value = json.loads(done.out)
    assert done.code == 0 and value["best"] in ("onnx-fp32", "onnx-int8"), done.err
    card = read_bundle(out)
    assert card.origin.weights == verified_card(open_run(str(trained), None, ignore).run_store.folder, ignore).digest
    photo = open_run(str(trained), None, ignore).recorded("val")[0].path
    answer = open_bundle(tmp_path / "out-search" / "candidates" / "onnx-fp32").model.predict(photo)
    expected = load(str(trained)).predict(photo)
    assert answer["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-3)
    failed = raytl(*words, "--target-ms", "0.0001")
    assert failed.code == 1 and "x the target" in json.loads(failed.out)["shortfall"]
    assert "judging" not in failed.err, "what is done is not repeated"


@pytest.mark.thorough
@pytest.mark.lengthy
def test_a_student_is_a_candidate(trained: Path, tmp_path: Path) -> None:
    result = compress(
        trained,
        max_drop=100,
        out=tmp_path / "out",
        methods=["distill"],
        student="test_resnet=none",
        epochs=1,
        progress=False,
    )
    names = [each.name for each in result.outcomes]
    assert names == ["onnx-fp32", "distill-onnx-fp32", "distill-openvino-fp32", "distill-openvino-int8"]
    assert all(each.verdict is not None for each in result.outcomes if each.status != "skipped")


@pytest.mark.thorough
@pytest.mark.lengthy
def test_a_pruned_network_is_a_candidate_and_its_student_predicts(trained: Path, tmp_path: Path) -> None:
    result = compress(trained, max_drop=100, out=tmp_path / "out", methods=["prune"], epochs=1, progress=False)
    names = [each.name for each in result.outcomes]
    assert names == ["onnx-fp32", *(f"prune-0.3-{form}" for form in ("onnx-fp32", "openvino-fp32", "openvino-int8"))]
    assert all(each.verdict is not None for each in result.outcomes if each.status != "skipped")
    [student] = (tmp_path / "out-search" / "students").glob("*/checkpoints/best")
    answer = load(str(student)).predict(open_run(str(trained), None, ignore).recorded("val")[0].path)
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-3)
