"""A whole sweep on tiny images: in this process, killed and resumed, extended, and on an embedded Ray."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import RunError, TrainingError
from raytl.events import Recorder, TrialChanged
from raytl.models.backbone import Backbone
from raytl.models.prefix import between
from raytl.search.driver import plan_sweep, tune
from raytl.search.trial import SweepJob, Task, sweep_root
from raytl.search.worker import TrialRun
from tests.conftest import write_photos
from tests.search.conftest import toy, write_weights

MakeSweep = Callable[..., Experiment]


def outline(folder: Path) -> list[dict[str, str]]:
    """What does not depend on the clock, of every trial."""
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    return [{k: v for k, v in row.items() if k not in ("seconds", "folder")} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Any, Recorder]:
    """A sweep that ended, what it gave and what was heard of it; for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("finished")
    experiment = toy(write_photos(folder / "photos", 12), write_weights(folder), folder / "runs")
    heard = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTL_CACHE", str(folder / "cache"))
        return experiment, tune(experiment, on_event=heard), heard


def test_a_sweep_ends_with_a_winner_a_report_and_a_run(finished: tuple[Experiment, Any, Recorder]) -> None:
    experiment, result, heard = finished
    folder = sweep_root(experiment)
    assert result.status == "finished"
    assert sum(result.trials.values()) == 4
    assert len(outline(folder)) == 4
    assert (folder / "report.html").stat().st_size > 10_000
    for name in ("history", "curves", "cost", "slices"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert load_experiment(result.experiment_file).name == "toy-winner"
    assert (Path(result.run) / "manifest.json").exists()
    ended = [e for e in heard.events if isinstance(e, TrialChanged) and e.state != "running"]
    assert [event.done for event in ended] == [1, 2, 3, 4]


def test_the_test_split_stays_locked(finished: tuple[Experiment, Any, Recorder]) -> None:
    experiment, result, _ = finished
    assert not (Path(result.run) / "test_ledger.jsonl").exists()
    assert not list(sweep_root(experiment).rglob("test_ledger.jsonl"))


@pytest.mark.thorough
def test_only_the_best_checkpoints_stay_on_disk(make_sweep: MakeSweep) -> None:
    experiment = make_sweep({"search.trials": 5, "search.keep": 1, "search.replicates.top": 1})
    tune(experiment)
    trials = sweep_root(experiment) / "trials"
    kept = [path for path in trials.glob("trial-*/checkpoints/best") if "seed" not in path.parts[-3]]
    assert len(kept) == 1
    assert not list(trials.glob("trial-*-????????/checkpoints/last"))


def test_a_finished_sweep_is_left_alone_and_can_be_extended(make_sweep: MakeSweep) -> None:
    experiment = make_sweep()
    result = tune(experiment)
    before = outline(sweep_root(experiment))
    again = tune(experiment)
    assert (again.status, again.winner_number) == ("already finished", result.winner_number)
    more = tune(experiment, add=2)
    assert sum(more.trials.values()) == 6
    assert outline(sweep_root(experiment))[:4] == before


def test_another_experiment_of_that_name_says_what_differs(finished: tuple[Experiment, Any, Recorder]) -> None:
    experiment, _, _ = finished
    with pytest.raises(RunError, match=r"optim\.schedule: cosine -> constant"):
        tune(override(experiment, {"optim.schedule": "constant", "search.trials": 5}))


@pytest.mark.thorough
def test_a_killed_sweep_ends_as_an_undisturbed_one(make_sweep: MakeSweep, tmp_path: Path) -> None:
    whole = make_sweep({"storage.uri": str(tmp_path / "whole")})
    tune(whole)
    killed = make_sweep({"storage.uri": str(tmp_path / "killed")})
    file = tmp_path / "killed.yaml"
    file.write_text(to_yaml(killed))
    script = (
        "import os, signal, sys\n"
        "from raytl.config.load import load_experiment\n"
        "from raytl.events import TrialChanged\n"
        "from raytl.search.driver import tune\n"
        "def die(event):\n"
        "    if isinstance(event, TrialChanged) and event.number == 2 and event.epoch == 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "tune(load_experiment(sys.argv[1]), on_event=die)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(file)], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    tune(killed)
    assert outline(sweep_root(killed)) == outline(sweep_root(whole))


@pytest.mark.thorough
def test_sharing_gives_the_scores_of_not_sharing(make_sweep: MakeSweep, tmp_path: Path) -> None:
    """With as many views as epochs, what is read is what would have been computed."""
    scores = {}
    for share in ("auto", "off"):
        changes = {"search.share": share, "search.views": 2, "storage.uri": str(tmp_path / share)}
        changes |= {"search.scheduler": "none", "search.replicates.top": 0}
        experiment = make_sweep(changes)
        tune(experiment)
        scores[share] = [(row["transfer.unfreeze"], float(row["value"])) for row in outline(sweep_root(experiment))]
        told = {row["features"] for row in outline(sweep_root(experiment))}
        assert ("none" in told) if share == "off" else (told != {"none"})
    assert scores["auto"] == scores["off"]


def test_equal_errors_stop_the_sweep_with_that_error(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: TrialRun) -> Any:
        raise ValueError("a bug of the trial")

    monkeypatch.setattr(TrialRun, "_advance", broken)
    with pytest.raises(TrainingError, match="ended 3 trials(.|\n)*ValueError: a bug of the trial"):
        tune(make_sweep({"search.trials": 8}))


def test_a_trial_out_of_memory_is_tried_once_with_smaller_micro_batches(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    experiment = make_sweep()
    job = SweepJob(experiment, str(tmp_path / "trials"), *_samples(experiment))
    run = TrialRun(job, Task(0, {"transfer.unfreeze": 1}))
    real, failures = TrialRun._open, [MemoryError("too much")]

    def scarce(self: TrialRun) -> Any:
        if failures:
            raise failures.pop()
        return real(self)

    monkeypatch.setattr(TrialRun, "_open", scarce)
    result = run.step()
    assert (result["smaller"], result["epoch"]) == (1, 1)
    assert load_experiment(run.folder.experiment).train.accumulate == 2
    run.close()


def _samples(experiment: Experiment) -> Any:
    from raytl.training.driver import plan

    splits = plan(experiment).dataset.splits
    return splits.train, splits.val, splits.classes


def test_a_budget_that_no_plan_meets_is_refused_before_anything_starts(make_sweep: MakeSweep) -> None:
    experiment = make_sweep({"search.budget": {"wall": 0.5}, "search.trials": 500})
    with pytest.raises(RunError, match=r"search\.budget\.wall"):
        tune(experiment)
    assert not (sweep_root(experiment) / "trials").exists()


def test_the_plan_shows_every_depth_and_the_arithmetic(make_sweep: MakeSweep) -> None:
    found = plan_sweep(make_sweep())
    assert [cost.depth for cost in found.depths] == list(range(len(found.depths)))
    assert found.depths[-1].trainable > found.depths[0].trainable
    assert found.depths[0].shared and not found.depths[-1].shared
    assert found.wall_s.low <= found.wall_s.likely <= found.wall_s.high
    assert "CPU" in found.arithmetic


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_on_ray_ends_with_the_same_kind_of_result(make_sweep: MakeSweep) -> None:
    changes = {"compute.cluster": "local", "compute.cpus_per_worker": 1, "search.trials": 3}
    experiment = make_sweep(changes | {"search.replicates.top": 1})
    result = tune(experiment)
    assert sum(result.trials.values()) == 3
    assert [len(each["scores"]) for each in result.replicates] == [2], "its own score, and that of another seed"
    assert json.loads((sweep_root(experiment) / "summary.json").read_bytes())["status"] == "finished"
    assert not (sweep_root(experiment) / ".ray").exists()
    assert len(outline(sweep_root(experiment))) == 3


@pytest.mark.thorough
@pytest.mark.lengthy
@pytest.mark.ray
@pytest.mark.slow
def test_trials_of_two_workers_do_not_wait_for_each_other_for_ever(make_sweep: MakeSweep) -> None:
    changes = {"compute.cluster": "local", "compute.workers": 2, "search.trials": 2, "search.replicates.top": 0}
    experiment = make_sweep(changes)
    result = tune(experiment)
    assert sum(result.trials.values()) == 2
    rows = outline(sweep_root(experiment))
    assert rows[0]["features"] == "frozen below 0", "workers of a trial share activations too"


@pytest.mark.thorough
def test_activations_of_a_deeper_cut_are_gone_on_from(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []

    def spied(backbone: Backbone, deeper: int, depth: int) -> Any:
        made.append((deeper, depth))
        return between(backbone, deeper, depth)

    monkeypatch.setattr("raytl.search.share.between", spied)
    scores = {}
    for share in ("auto", "off"):
        changes = {"search.share": share, "search.views": 2, "storage.uri": str(tmp_path / share)}
        changes |= {"search.scheduler": "none", "search.replicates.top": 0, "search.sampler": "grid"}
        changes |= {"search.space": {"transfer.unfreeze": {"choice": [0, 1, 2]}}, "search.trials": 3}
        experiment = make_sweep(changes | {"search.recipes": False})
        tune(experiment)
        scores[share] = [(row["transfer.unfreeze"], row["value"]) for row in outline(sweep_root(experiment))]
    assert scores["auto"] == scores["off"]
    assert made and all(deeper > depth for deeper, depth in made)
