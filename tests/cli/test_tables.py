"""Results as tables, where a small real run does not reach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console, RenderableType

from raytl.cli.predict import left_out_lines, predictions_json, unreadable_lines
from raytl.cli.tables import MOST_ROWS, evaluation_tables, predictions_tables, train_tables
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.metrics.confusion import confusion_matrix
from raytl.metrics.intervals import Interval, bootstrap
from raytl.tasks.classification.report import Report
from raytl.tasks.classification.table import Predictions
from raytl.tasks.reliability import Calibration
from raytl.tasks.reporting import Subject, Unreadable
from raytl.training.driver import TrainResult


def text(parts: list[RenderableType]) -> str:
    """The output without colours."""
    console = Console(width=140, color_system=None)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return captured.get()


def predictions(count: int, unreadable: int = 0) -> Predictions:
    """So many photos of a cat or a dog."""
    probabilities = np.tile([0.25, 0.75], (count, 1))
    bad = tuple(Unreadable(f"b{i}.jpg", "empty file") for i in range(unreadable))
    return Predictions(tuple(f"[p]/{i}.jpg" for i in range(count)), ("cat", "dog"), probabilities, bad, "abc")


def test_many_predictions_are_cut_short_on_the_terminal() -> None:
    shown = text(predictions_tables(predictions(MOST_ROWS + 2), None))
    assert "[p]/0.jpg" in shown
    assert "75.0 %" in shown
    assert "and 2 more photos; --out predictions.csv writes all" in shown


def test_written_predictions_are_counted() -> None:
    shown = text(predictions_tables(predictions(3), Path("p.csv")))
    assert ["dog", "3"] in [row.split() for row in shown.splitlines()]
    assert "p.csv: 3 photos" in shown


def test_classes_beyond_the_first_are_counted() -> None:
    classes = tuple(f"c{place:02d}" for place in range(MOST_ROWS + 3))
    many = Predictions(tuple(map(str, range(len(classes)))), classes, np.eye(len(classes)), (), "abc")
    shown = [row.split() for row in text(predictions_tables(many, Path("p.csv"))).splitlines()]
    assert ["…", "3", "more", "3"] in shown


def test_the_first_unreadable_photos_are_named_and_the_rest_counted() -> None:
    lines = unreadable_lines(predictions(1, unreadable=12))
    assert lines[0] == "could not read 'b0.jpg': empty file"
    assert lines[10:] == ["and 2 more could not be read"]


def test_files_that_are_not_photos_are_counted_by_reason_and_the_first_named() -> None:
    found = replace(
        predictions(1), left_out={"files that are not images": ("a", "b", "c", "d"), "hidden files": (".x",)}
    )
    assert left_out_lines(found) == [
        "4 files that are not images left out:\n  'a'\n  'b'\n  'c'\n  ... and 1 more",
        "1 hidden files left out:\n  '.x'",
    ]
    assert predictions_json(found, None)["left_out"] == {
        "files that are not images": {"files": 4, "first": ["a", "b", "c"]},
        "hidden files": {"files": 1, "first": [".x"]},
    }


def test_predictions_for_programs_have_rows_where_no_file_has_them() -> None:
    assert predictions_json(predictions(1), None)["rows"] == [
        {"path": "[p]/0.jpg", "predicted": "dog", "p_cat": 0.25, "p_dog": 0.75}
    ]
    assert "rows" not in predictions_json(predictions(1), Path("p.csv"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("trained", "a: trained\n"),
        ("resumed", "resumed after an interruption"),
        ("already finished", "--new starts over"),
    ],
)
def test_the_end_of_training_says_how_it_came_and_what_is_next(status: str, words: str, tmp_path: Path) -> None:
    experiment = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})
    metrics = {"val/accuracy": 0.9, "val/log_loss": 0.3, "val/seconds": 2.0, "train/loss": 0.1}
    run = tmp_path / "it (2)"
    result = TrainResult(str(run), status, 5, 9, metrics, "raytl evaluate x")  # type: ignore[arg-type]
    shown = text(train_tables(result, experiment))
    assert words in shown
    assert "epoch 5 of 9 (maximum 12), by val/balanced_accuracy" in shown
    assert f"raytl evaluate '{run}' " in shown
    assert f"raytl predict '{run}' PHOTOS --out predictions.csv" in shown
    assert f"tensorboard --logdir '{run}/tensorboard'" in shown
    assert "seconds" not in shown


def test_the_end_of_training_says_what_was_changed_after_it() -> None:
    experiment = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})
    metrics = {
        "val/accuracy": 0.9, "calibration/temperature": 0.412, "calibration/log_loss": 0.3,
        "calibration/uncalibrated_log_loss": 0.6, "calibration/ece": 0.04, "calibration/uncalibrated_ece": 0.38,
        "fallback/fine_tuned_fraction": 0.0, "fallback/fine_tuned_balanced_accuracy": 0.5,
        "adaptation/applied": 0.0, "adaptation/without_balanced_accuracy": 0.8, "adaptation/with_balanced_accuracy": 0.3,
    }  # fmt: skip
    shown = text(train_tables(TrainResult("a", "trained", 5, 9, metrics, "raytl evaluate x"), experiment))
    assert "temperature 0.412: log loss 0.600 -> 0.300, " in shown
    assert "38.0 % -> 4.0 %" in shown
    assert "the pretrained network with a solved head; fine-tuned: balanced accuracy 50.0 %" in shown
    assert "kept off, as it is not better beyond chance on validation: balanced accuracy 80.0 % -> 30.0 %" in " ".join(
        shown.split()
    )


def test_the_end_of_training_says_how_good_each_auxiliary_head_is() -> None:
    experiment = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})
    heads = {
        f"auxiliary/{name}/{key}": value
        for name, values in {"site/floor": (0.9, 0.5, 40.0), "rotation": (0.25, 0.26, 1.0)}.items()
        for key, value in zip(("accuracy", "usual_accuracy", "images"), values, strict=True)
    }
    heads["auxiliary/camera/accuracy"] = 0.3  # a stored summary of which the rest is missing
    shown = text(train_tables(TrainResult("a", "trained", 5, 9, heads, "raytl evaluate x"), experiment))
    assert "auxiliary camera" not in shown
    assert "auxiliary site/floor" in shown and "90.0 % of 40 validation images; always the same answer: 50.0 %" in shown
    assert "auxiliary rotation" in shown and "25.0 % of 1 validation image; always the same answer: 26.0 %" in shown


def test_the_end_of_training_says_from_which_score_objects_are_reported() -> None:
    experiment = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})
    fixed = override(experiment, {"predict.score": 0.4})
    result = TrainResult("a", "trained", 5, 9, {"val/map": 0.5, "predict/score": 0.5691}, "raytl evaluate x")
    assert "objects are reported from 0.569 on" in text(train_tables(result, experiment))
    assert "are reported" not in text(train_tables(result, fixed))


def evaluation(classes: int, look: int | None) -> Report:
    """An evaluation of two photos a class, all called class 0."""
    targets = np.repeat(np.arange(classes), 2)
    probabilities = np.full((2 * classes, classes), 0.5 / classes)
    probabilities[:, 0] += 0.5
    return Report(
        subject=Subject("run", "m", "test", "w", "d", 0),
        classes=tuple(f"c{i:02d}" for i in range(classes)),
        estimates=bootstrap(targets, probabilities, resamples=50),
        matrix=confusion_matrix(targets, np.zeros_like(targets), classes),
        mistakes=(),
        look=look,
        looks=(),
        resamples=50,
        folder="run/evaluation/test",
    )


def test_of_many_classes_the_hardest_are_shown() -> None:
    shown = text(evaluation_tables(evaluation(40, 1)))
    assert f"the {MOST_ROWS} classes with the lowest F1" in shown
    assert "c01" in shown
    assert "c39" not in shown
    assert "run: test split\n" in shown


def test_classes_without_a_score_are_not_the_hardest() -> None:
    report = evaluation(40, 1)
    undefined = Interval(np.nan, np.nan, np.nan)
    scores = tuple(undefined if place % 3 == 1 else Interval(1 - place / 40, 0, 1) for place in range(40))
    shown = text(evaluation_tables(replace(report, estimates=replace(report.estimates, f1=scores))))
    listed = [line.split()[0] for line in shown.splitlines() if line.startswith("c") and line[1:3].isdecimal()]
    assert listed == [f"c{place:02d}" for place in reversed(range(40)) if place % 3 != 1] + ["c01", "c04", "c07"]


def test_the_temperature_of_an_evaluated_model_is_shown() -> None:
    calibrated = replace(evaluation(3, 1), calibration=Calibration(0.4, {"log_loss": 9.5}))
    assert "temperature 0.400: log loss 9.500 -> " in text(evaluation_tables(calibrated))
    assert "temperature" not in text(evaluation_tables(evaluation(3, 1)))


def test_another_look_is_marked() -> None:
    shown = text(evaluation_tables(evaluation(3, 2)))
    assert "run: test split, evaluation 2" in shown
    assert "choices made since the first may depend on its result" in shown
