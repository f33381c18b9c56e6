"""The verbs take what a user has at hand, and show or hide what happens."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import raytl
from raytl.events import EpochEnded, Recorder
from tests.api.conftest import Story, small
from tests.docs.pages import REPO
from tests.search.cheap import make_cheap

SCRIPT = re.compile(r"```python\n(import raytl\n.*?)```", re.DOTALL)


def test_the_script_of_the_documentation_runs(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script as it stands, but with a small model and few trials in the place of real ones."""
    text = SCRIPT.findall((REPO / "docs" / "python-api.md").read_text(encoding="utf-8"))[0]
    smaller = {
        'data="photos/"': f"data={str(story.folder / 'photos')!r}",
        'model="mobilenetv2_100"': "**small",
        "trials=32": "trials=2",
    }
    for old, new in smaller.items():
        assert old in text
        text = text.replace(old, new)
    keys = small(story.folder).model_dump(exclude_unset=True)
    keys = {key: value for key, value in keys.items() if key not in ("name", "data", "transfer")}
    monkeypatch.chdir(tmp_path)
    make_cheap(monkeypatch)
    Image.open(story.folder / "photos" / "red" / "000.jpg").save("a.jpg")
    names: dict[str, object] = {"small": keys | {"storage": {"uri": "runs"}}}
    exec(compile(text, "docs/python-api.md", "exec"), names)
    assert isinstance(names["report"], raytl.Report)
    assert isinstance(names["sweep"], raytl.Sweep)


def test_without_progress_nothing_is_written(story: Story, capfd: pytest.CaptureFixture[str]) -> None:
    raytl.train(small(story.folder, name="silent"), progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_goes_to_standard_error_and_events_to_the_caller(
    story: Story, capfd: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    raytl.train(small(story.folder, name="heard"), on_event=recorder)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 2/2" in err
    assert sum(isinstance(event, EpochEnded) for event in recorder.events) == 2


def test_a_file_stands_for_its_experiment(story: Story, tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(yaml.safe_dump(small(story.folder).model_dump(mode="json", exclude_unset=True)))
    changes = {"name": "from-file", "train.epochs": 3, "storage.uri": str(tmp_path)}
    run = raytl.train(file, overrides=changes, progress=False)
    assert (run.path, run.epochs) == (tmp_path / "from-file", 3)


def test_a_folder_of_photos_stands_for_an_experiment(story: Story, tmp_path: Path) -> None:
    plan = raytl.plan(story.folder / "photos", "test_resnet", overrides={"model.weights": "none"}, progress=False)
    assert plan.experiment.model.name == "test_resnet"
    assert repr(plan).startswith(f"Plan({plan.experiment.name}, ")
    assert "parameters learn" in repr(plan)
    assert plan.experiment.data.uri == str(story.folder / "photos")


def test_an_experiment_is_overridden_by_keys(story: Story) -> None:
    plan = raytl.plan(
        story.experiment, "test_vit", overrides={"train.epochs": 7, "model.weights": "none"}, progress=False
    )
    assert (plan.experiment.model.name, plan.experiment.train.epochs) == ("test_vit", 7)
    with pytest.raises(raytl.UserError, match="did you mean 'epochs'"):
        raytl.plan(story.experiment, overrides={"train.epoch": 7}, progress=False)


def test_a_loaded_run_gives_the_bits_of_predict(story: Story, tmp_path: Path) -> None:
    photos = story.folder / "photos"
    table = raytl.predict(story.run, photos, out=tmp_path / "p.csv", progress=False)
    model = raytl.load(story.run)
    rows = [list(each.probabilities.values()) for each in model.predict(photos)]
    np.testing.assert_array_equal(np.array(rows), table.probabilities)
    assert (tmp_path / "p.csv").exists()
    assert raytl.load(os.fspath(story.run)).weights == model.weights == table.weights


def test_a_plan_of_a_sweep_counts_its_trials(story: Story) -> None:
    plan = raytl.plan_sweep(small(story.folder, name="planned"), trials=5, progress=False)
    assert plan.trials == 5


def test_a_tick_from_python_is_reported_as_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    retraining = {"registry": str(tmp_path / "models"), "notify": {"webhook_env": "HOOK"}}
    reported: list[str] = []
    monkeypatch.setattr(
        "raytl.retraining.after.notify", lambda tick, name, *_: reported.append(f"{name}: {tick.outcome}")
    )
    with pytest.raises(raytl.RaytlError, match="photos"):
        raytl.retrain(small(tmp_path, retrain=retraining), progress=False)
    assert reported == ["toy: failure"]


def test_retraining_needs_a_registry(story: Story) -> None:
    with pytest.raises(raytl.UserError, match="retrain.registry: not set"):
        raytl.retrain(story.experiment, progress=False)
