"""What a student is trained on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from raytl.config.override import override
from raytl.config.stored import on_this_machine
from raytl.data.sample import Sample
from raytl.errors import DataError
from raytl.events import Message, Recorder, ignore
from raytl.exporting.compress.distill import (
    Distillation,
    distill,
    distillation_key,
    learned_samples,
    student_changes,
    unlabelled_samples,
)
from raytl.exporting.trained_run import TrainedRun, open_run
from raytl.labelling.change import TrainChange
from raytl.labelling.record import write_changes
from raytl.models.card import read_card
from raytl.run.plain import encode


@pytest.fixture
def run(trained: Path) -> TrainedRun:
    """The trained run, opened."""
    return open_run(str(trained), None, ignore)


def test_a_student_is_a_smaller_network_or_the_run_s_own_that_continues(run: TrainedRun) -> None:
    recipe, best = run.recipe.model_dump(), run.run_store.folder.best
    smaller = student_changes(recipe, Distillation(student="mobilenetv2_035=small.safetensors", epochs=4), best)
    assert smaller["model.name"] == "mobilenetv2_035" and smaller["model.weights"] == "small.safetensors"
    assert smaller["train.epochs"] == 4 and smaller["transfer.head_start"] == "zero"
    own = student_changes(recipe, Distillation(teachers=("other",)), best)
    assert own["model.weights"] == str(best) and "train.epochs" not in own
    assert override(on_this_machine(run.recipe, run.machine), own).transfer.head_start == "weights"


@pytest.mark.parametrize("loss", ["small_loss", "elr"])
def test_the_student_of_a_robust_loss_learns_all_answers_in_any_number_of_epochs(run: TrainedRun, loss: str) -> None:
    key, value = ("train.small_loss_keep", 0.9) if loss == "small_loss" else ("train.elr_weight", 1.0)
    own = {"train.loss": loss, "train.epochs": 5, "optim.warmup": 2.0, key: value}
    recipe = override(on_this_machine(run.recipe, run.machine), own)
    for epochs, warmup in ((None, 2.0), (4, 2.0), (1, 0.1)):
        distillation = Distillation(pruned=0.3, epochs=epochs)
        changes = student_changes(recipe.model_dump(), distillation, run.run_store.folder.best)
        student = override(recipe, changes)
        assert (student.train.loss, student.optim.warmup) == ("cross_entropy", warmup)


def test_a_network_does_not_teach_itself() -> None:
    assert "--student NAME=WEIGHTS" in Distillation().reason_against
    assert Distillation(student="resnet18").reason_against == Distillation(teachers=("other",)).reason_against == ""


def test_another_student_or_teacher_is_trained_anew() -> None:
    keys = {
        distillation_key(each, weights)
        for each in (
            Distillation(student="a"),
            Distillation(student="b"),
            Distillation(pruned=0.3),
            Distillation(pruned=0.2),
        )
        for weights in (["1"], ["2"])
    } | {distillation_key(Distillation(student="a", epochs=2), ["1"])}
    assert len(keys) == 9


def test_a_student_of_an_earlier_version_is_not_trained_again() -> None:
    before = hashlib.sha256(encode(["a", None, 2, "1"])).hexdigest()  # without the fraction, which it did not have
    assert distillation_key(Distillation(student="a", epochs=2), ["1"]) == before


def test_photos_of_the_run_s_own_data_are_not_learned_without_labels(run: TrainedRun, tmp_path: Path) -> None:
    for sample in run.recorded("val"):
        shutil.copyfile(sample.path, tmp_path / f"val-{Path(sample.path).parent.name}-{Path(sample.path).name}")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"new-{number}.png")
    (tmp_path / "broken.png").write_bytes(b"none")
    recorder = Recorder()
    samples = unlabelled_samples(run, run, str(tmp_path), recorder)
    assert [Path(sample.path).name for sample in samples] == ["new-0.png", "new-1.png", "new-2.png"]
    assert all(sample.label in run.card.classes and sample.split == "train" and sample.digest for sample in samples)
    count = len(run.recorded("val"))
    text = f"3 of {count + 4} photos at {tmp_path} are learned; {count} are of the run's own data, 1 cannot be read"
    assert Message(text) in recorder.events


def test_photos_without_labels_that_are_missing_are_counted_and_none_at_all_is_an_error(
    run: TrainedRun, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "new.png")
    recorder, table = Recorder(), tmp_path / "photos.csv"
    table.write_text("path\nnew.png\ngone.png\n")
    assert [Path(each.path).name for each in unlabelled_samples(run, run, str(table), recorder)] == ["new.png"]
    counts = "of the run's own data, 1 cannot be read"
    assert Message(f"1 of 2 photos at {table} are learned; 0 are {counts}") in recorder.events
    table.write_text("path\ngone.png\n")
    with pytest.raises(
        DataError, match=rf"--unlabelled: 0 of 1 photos at .* are learned; 0 are {counts}; expected new"
    ):
        unlabelled_samples(run, run, str(table), ignore)


def test_photos_of_classes_that_the_teacher_has_and_the_run_has_not_are_left_out(
    run: TrainedRun, tmp_path: Path
) -> None:
    best = tmp_path / "teacher"
    shutil.copytree(run.run_store.folder.best, best)
    card = json.loads((best / "model.json").read_text())
    (best / "model.json").write_text(json.dumps({**card, "classes": [f"other {name}" for name in card["classes"]]}))
    teacher = cast(TrainedRun, SimpleNamespace(run_store=SimpleNamespace(folder=SimpleNamespace(best=best))))
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photos" / "new.png")
    with pytest.raises(
        DataError, match="0 of 1 photos .* 1 are of classes that the teacher has and the run has not; exp"
    ):
        unlabelled_samples(run, teacher, str(tmp_path / "photos"), ignore)


def test_images_that_the_run_left_out_are_not_learned(tmp_path: Path) -> None:
    samples = [Sample(name, f"/{name}", "a", "train", "0" * 64) for name in ("1.jpg", "2.jpg", "3.jpg")]
    run = SimpleNamespace(
        run_store=SimpleNamespace(folder=SimpleNamespace(root=tmp_path)), present=lambda split, on_event: samples
    )
    own, other = ("leave_out", "none", "none"), ("leave_out", "propagate", "none")
    assert learned_samples(run, own, ignore) == samples  # type: ignore[arg-type]
    write_changes(tmp_path, {own: TrainChange(frozenset({"2.jpg"})), other: TrainChange(frozenset({"3.jpg"}))})
    assert learned_samples(run, own, ignore) == [samples[0], samples[2]]  # type: ignore[arg-type]


def test_a_folder_without_photos_is_an_error(run: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photos in this folder"):
        unlabelled_samples(run, run, str(tmp_path), ignore)


def test_a_student_is_trained_and_saved(run: TrainedRun, tmp_path: Path) -> None:
    student = distill(run, Distillation(student="test_resnet=none", epochs=1), tmp_path / "student", ignore)
    card = read_card(student)
    assert card.classes == run.card.classes and card.digest != run.card.digest
