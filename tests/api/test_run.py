"""A run as a value: data to go on with, and a view for notebooks."""

from __future__ import annotations

import os
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

import raytl
from raytl.config.choice import Choice
from raytl.tasks.auto_recipe import write_choices
from tests.api.conftest import Story, small


def test_a_run_holds_its_metrics_its_history_and_its_experiment(story: Story) -> None:
    run = story.run
    assert run.experiment == story.experiment
    assert (run.status, run.epochs) == ("trained", 2)
    assert run.path == Path(run.uri) == story.folder / "runs" / "toy"
    history = run.history
    assert list(history["epoch"]) == [1, 2]
    assert history["val/accuracy"][run.best_epoch - 1] == run.metrics["val/accuracy"]
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        run.uri = "elsewhere"  # type: ignore[misc]


def test_without_pandas_the_history_is_a_list_of_dicts(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert [row["epoch"] for row in story.run.history] == [1, 2]
    assert [row["number"] for row in story.sweep.trials] == [0, 1, 2]


def test_training_again_returns_the_same_run(story: Story) -> None:
    again = raytl.train(story.experiment, progress=False)
    assert again.status == "already finished"
    assert (again.metrics, again.best_epoch) == (story.run.metrics, story.run.best_epoch)


def test_a_run_is_opened_again_from_its_folder(story: Story) -> None:
    opened = raytl.Run.open(story.run)
    assert (opened.uri, opened.metrics, opened.epochs) == (story.run.uri, story.run.metrics, 2)
    assert opened.experiment.data.uri == story.experiment.data.uri
    with pytest.raises(raytl.RaytlError, match="no such run folder"):
        raytl.Run.open(story.folder / "nowhere")


def test_its_text_and_its_html_show_the_metrics(story: Story) -> None:
    assert repr(story.run).startswith(f"Run('{story.run.uri}', trained, best epoch {story.run.best_epoch} of 2, val/")
    page = story.run._repr_html_()
    assert "<td>val/balanced_accuracy</td>" in page
    assert '<img alt="Learning curves" src="data:image/png;base64,' in page


def test_its_html_shows_what_the_recipe_chose_and_why(story: Story, tmp_path: Path) -> None:
    run = replace(story.run, uri=str(tmp_path))
    assert "recipe: auto" not in run._repr_html_()
    write_choices(tmp_path, [Choice("train.epochs", 9, "Few <images>.")])
    page = run._repr_html_()
    assert "<tr><td>train.epochs</td><td>9</td><td>Few &lt;images&gt;.</td></tr>" in page
    (tmp_path / "recipe.json").write_text("{")
    assert "recipe: auto" not in run._repr_html_()


def test_html_escapes_the_names_of_others(story: Story) -> None:
    hostile = raytl.Run("runs/<b>&", story.experiment, "trained", 1, 1, {"val/<script>": 0.5})
    assert "<b>&" not in hostile._repr_html_()
    assert "val/&lt;script&gt;" in hostile._repr_html_()


def test_a_run_stands_for_its_path(story: Story) -> None:
    assert os.fspath(story.run) == story.run.uri
    assert Path(story.run) == story.run.path


def test_a_run_is_evaluated_and_the_report_shows_itself(story: Story, tmp_path: Path) -> None:
    run = raytl.train(small(story.folder, name="evaluated"), progress=False)
    report = run.evaluate(progress=False)
    assert set(report.metrics) >= {"accuracy", "log_loss"}
    page = report._repr_html_()
    assert page.count("<table>") == 2
    assert '<img alt="Confusion matrix" src="data:image/png;base64,' in page
    assert run.evaluate(progress=False).metrics == report.metrics
    assert raytl.evaluate(run, split="val", progress=False).subject.split == "val"


def test_settings_of_other_work_do_not_stop_an_evaluation_in_this_process(story: Story) -> None:
    machine = raytl.Machine.of(story.experiment)
    assert story.run.machine == machine
    assert machine.compute.cluster == "none"
    assert machine.alone().compute.cluster == raytl.Machine().compute.cluster
    assert machine.alone().storage == machine.storage
