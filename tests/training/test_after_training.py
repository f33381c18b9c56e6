"""A network that is adapted after training replaces the run's own unless it is worse beyond chance, and the run says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.data.targets import Labels
from raytl.errors import ConfigError
from raytl.events import Message, Recorder
from raytl.models.card import read_card
from raytl.run.folder import RunFolder
from raytl.tasks.registry import task_named
from raytl.tasks.reporting import Evaluated
from raytl.tasks.task import Confusion, Validation
from raytl.training import after_training
from raytl.training.after_training import Answered, verdict_on
from raytl.training.driver import plan, train
from tests.conftest import write_photos
from tests.training.conftest import MakeExperiment, toy
from tests.training.scenes import toy_task, write_scenes

METRIC = "val/accuracy"
COUNT = 60
CLASSES = ("a", "b", "c")
TASK = task_named("classification")


def answered(wrong: int, seed: int = 0) -> Answered:
    """Answers to 60 images of 3 classes, of which the first `wrong` in a random order are wrong."""
    targets = np.arange(COUNT) % 3
    said = targets.copy()
    said[np.random.default_rng(seed).permutation(COUNT)[:wrong]] += 1
    table = np.full((COUNT, 3), 0.1)
    table[np.arange(COUNT), said % 3] = 0.8
    score = 1 - wrong / COUNT
    metrics = {METRIC: score, "val/balanced_accuracy": score, "val/macro_f1": score, "val/log_loss": wrong / COUNT}
    metrics |= {"val/other": score}
    samples = [Sample(f"{i}", f"{i}", CLASSES[target]) for i, target in enumerate(targets)]
    answers = Evaluated(samples, targets.tolist(), (np.log(table).astype(np.float32),), CLASSES, len(CLASSES))
    return Answered(Validation(metrics, Confusion(("a",), np.zeros((1, 1), np.int64))), answers)


@pytest.mark.parametrize(
    ("before", "after", "applied", "says"),
    [
        (30, 5, True, "applied: accuracy 50.0 % without and 91.7 % with it on 60 validation images, which is better beyond chance"),
        (12, 10, False, "kept off: .* which is better, but not beyond chance. Label more photos of the target to be sure"),
        (10, 10, False, "kept off: .* which is worse or the same, within chance"),
        (10, 12, False, "kept off: .* which is worse or the same, within chance"),
        (5, 30, False, "kept off: .* worse beyond chance. Validation photos should be labelled photos of the target"),
    ],
    ids=["better", "better within chance", "the same", "worse within chance", "worse"],
)  # fmt: skip
def test_it_is_kept_off_unless_it_is_better_beyond_chance(before: int, after: int, applied: bool, says: str) -> None:
    verdict = verdict_on(TASK, answered(before), answered(after), METRIC)
    assert verdict.is_applied is applied
    assert re.search(says, verdict.reason), verdict.reason
    metrics = verdict.result.metrics
    assert metrics["adaptation/applied"] == applied and metrics[METRIC] == 1 - (after if applied else before) / COUNT
    assert metrics["adaptation/without_accuracy"] == 1 - before / COUNT
    assert metrics["adaptation/with_accuracy"] == 1 - after / COUNT


@pytest.mark.parametrize("metric", ["val/balanced_accuracy", "val/macro_f1", "val/log_loss", "val/other"])
def test_the_metric_that_selects_epochs_decides(metric: str) -> None:
    expected = "balanced_accuracy" if metric == "val/other" else metric.removeprefix("val/")
    verdict = verdict_on(TASK, answered(5), answered(30), metric)
    assert verdict.gain.metric == expected and not verdict.is_applied
    assert verdict_on(TASK, answered(30), answered(5), metric).is_applied


def test_a_tie_is_kept_off_whatever_the_log_loss() -> None:
    surer = answered(5)
    surer.result.metrics["val/log_loss"] = 0.01
    verdict = verdict_on(TASK, answered(5), surer, METRIC)
    assert not verdict.is_applied and "worse or the same, within chance" in verdict.reason


def labelled(right: int) -> Answered:
    """Answers on two labels of 20 images: those to the first `right` images are right, at thresholds of their own."""
    vectors = np.stack([[i % 2, i // 2 % 2] for i in range(20)]).astype(np.int8)
    signs = np.where(np.arange(20) < right, 1, -1)[:, None] * (2 * vectors - 1)
    rows = (3 + signs.astype(np.float32), np.full((20, 2), 1 / (1 + np.exp(-3)), np.float32))
    samples = [Sample(f"{i}", f"{i}", Labels(())) for i in range(20)]
    result = Validation(
        {"val/macro_f1": right / 20, "val/log_loss": 1.0}, Confusion(("a",), np.zeros((1, 1), np.int64))
    )
    return Answered(result, Evaluated(samples, list(vectors), rows, ("a", "b"), 2))


def test_labels_are_compared_image_by_image() -> None:
    task = task_named("multilabel")
    better = verdict_on(task, labelled(8), labelled(20), "val/macro_f1")
    assert better.is_applied and better.gain.metric == "macro_f1" and better.gain.p_better < 0.01
    assert better.gain.after == 1 and "on 20 validation images, which is better beyond chance" in better.reason
    assert not verdict_on(task, labelled(20), labelled(8), "val/macro_f1").is_applied


@pytest.mark.thorough
def test_of_many_images_with_labels_an_even_part_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_named("multilabel")
    whole = verdict_on(task, labelled(6), labelled(20), "val/macro_f1").gain
    monkeypatch.setattr(after_training, "_MOST_COMPARED", 7)
    part = verdict_on(task, labelled(6), labelled(20), "val/macro_f1").gain
    # of the images 0, 3, 6 ... 18, two are right before; every fourth image has no label, and no F1 of its own
    assert (whole.gained, part.gained) == (11, 4)


def test_a_network_of_labels_is_adapted_with_its_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = write_scenes(tmp_path / "scenes")
    target = shifted(tmp_path / "target", scenes / "photos")
    monkeypatch.setattr(after_training.Verdict, "is_applied", True)
    changes: dict[str, Any] = {"adapt.target": str(target), "adapt.method": "adabn"}
    result = train(toy_task("multilabel", scenes, tmp_path / "runs", changes))
    saved = load_file(RunFolder.open(result.run).best / "model.safetensors")
    plain = RunFolder.open(train(toy_task("multilabel", scenes, tmp_path / "plain")).run)
    own = load_file(plain.best / "model.safetensors")
    changed = {name.rpartition(".")[2] for name in saved if not torch.equal(saved[name], own[name])}
    assert {"running_mean", "running_var"} <= changed <= {"running_mean", "running_var", "thresholds"}
    assert (
        result.metrics["val/map"] == result.metrics["adaptation/with_map"] != result.metrics["adaptation/without_map"]
    )


def test_weights_that_are_not_finite_are_kept_off() -> None:
    verdict = verdict_on(TASK, answered(30), answered(5), METRIC, is_finite=False)
    assert not verdict.is_applied and "Lower adapt.tent.lr" in verdict.reason


def test_a_network_that_cannot_be_adapted_is_refused_before_training(
    make_experiment: MakeExperiment, tmp_path: Path
) -> None:
    target = str(write_photos(tmp_path / "target", 3, seed=1))
    changes = {"model.name": "test_vit", "model.preprocess": {}, "adapt": {"target": target, "method": "adabn"}}
    with pytest.raises(ConfigError, match="adapt.method: test_vit has no BatchNorm, whose statistics adabn replaces"):
        plan(make_experiment(changes, 8))


def test_the_main_rank_alone_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    validated: list[object] = []
    replacements: dict[str, Any] = {
        "sum_over_ranks": lambda _world, values, *_: [1.0] * len(values),
        "shared_state": lambda *_: {},
        "_answered": lambda *_: validated.append(1) or answered(5),
        "verdict_on": None,  # it is not called
    }
    for name, value in replacements.items():
        monkeypatch.setattr(after_training, name, value)
    context: Any = SimpleNamespace(world=SimpleNamespace(is_main=False), device=None)
    backbone: Any = SimpleNamespace(module=torch.nn.Identity())
    nothing: Any = None
    after_training.adapt_best(nothing, context, backbone, nothing, nothing, SimpleNamespace(best=Path()))  # type: ignore[arg-type]
    assert len(validated) == 2, "every rank has its part of the images"


def shifted(folder: Path, source: Path) -> Path:
    """The photos of `source` in other colors."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        place = folder / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as photo:
            values = np.asarray(photo.convert("RGB"), np.float32)
            Image.fromarray(np.uint8(60 + 0.4 * values * np.array([1.0, 0.8, 0.6], np.float32))).save(place)
    return folder


@pytest.mark.thorough
def test_a_killed_run_ends_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = write_photos(tmp_path / "photos", 16)
    target = shifted(tmp_path / "target", write_photos(tmp_path / "others", 16, seed=3))
    changes: dict[str, Any] = {"adapt": {"target": str(target), "method": "tent", "alpha": 0.05}, "train.epochs": 1}
    monkeypatch.setattr(after_training.Verdict, "is_applied", True)  # by luck with so few validation images
    make: Callable[[str], Experiment] = lambda name: override(toy(photos, tmp_path / "runs", changes), {"name": name})  # noqa: E731
    recorder = Recorder()
    whole = train(make("whole"), on_event=recorder)
    folder = RunFolder.open(whole.run)
    texts = [event.text for event in recorder.events if isinstance(event, Message)]
    assert any(text.startswith("adapt.method tent (alpha 0.05, rate 0.0001, passes 1): ") for text in texts)
    assert (
        whole.metrics["adaptation/applied"] == 1
        and whole.metrics["adaptation/with_balanced_accuracy"] == whole.metrics["val/balanced_accuracy"]
    )
    assert read_card(folder.best).temperature == whole.metrics["calibration/temperature"] and folder.verify() == []

    with monkeypatch.context() as killed:
        killed.setattr(after_training, "verdict_on", None)
        with pytest.raises(TypeError, match="not callable"):
            train(make("cut"))
    cut = RunFolder.open(train(make("cut")).run)
    plain = RunFolder.open(train(override(toy(photos, tmp_path / "runs", {"train.epochs": 1}), {"name": "plain"})).run)
    left, right, own = (load_file(each.best / "model.safetensors") for each in (folder, cut, plain))
    assert all(torch.equal(left[name], right[name]) for name in left)
    changed = {name.rpartition(".")[2] for name in left if not torch.equal(left[name], own[name])}
    assert changed == {"running_mean", "running_var", "weight", "bias"}
    scores = [json.loads((each.best / "validation.json").read_text()) for each in (folder, cut)]
    assert scores[0] == scores[1]
