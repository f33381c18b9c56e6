"""A whole sweep on tiny images: in this process, killed and resumed, extended, and on an embedded Ray."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

import raytl
from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.errors import RunError, TrainingError, UserError
from raytl.events import Message, Recorder, TrialChanged
from raytl.models.backbone import Backbone
from raytl.models.prefix import between
from raytl.run.atomic import write_json
from raytl.search.driver import plan_sweep, tune
from raytl.search.early import early_trials
from raytl.search.inputs import open_study, sweep_inputs
from raytl.search.prior import save
from raytl.search.protocol import Suggestion
from raytl.search.summary import TOTAL, Total, sweep_root, total_of
from raytl.search.trial import trial_job
from raytl.search.worker import TrialRun
from raytl.training.job import TrainJob
from raytl.training.worker import load_run
from tests.search.cheap import make_cheap
from tests.search.conftest import Finished, MakeSweep, outline
from tests.search.test_earlier import write_sweep


def test_a_sweep_ends_with_a_winner_a_report_and_a_run(finished: Finished) -> None:
    experiment, result = finished.experiment, finished.result
    folder = sweep_root(experiment)
    assert result.status == "finished"
    assert sum(result.trials.values()) == 4
    assert len(outline(experiment)) == 4
    assert (folder / "report.html").stat().st_size > 10_000
    for name in ("history", "curves", "cost", "slices"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert load_experiment(result.experiment_file).name == "toy-winner"
    assert (Path(result.run) / "manifest.json").exists()
    ended = [e for e in finished.heard.events if isinstance(e, TrialChanged) and e.state != "running"]
    assert [event.done for event in ended] == [1, 2, 3, 4]


def test_a_sweep_never_reads_the_test_split(finished: Finished) -> None:
    assert not (Path(finished.result.run) / "test_ledger.jsonl").exists()
    assert not list(sweep_root(finished.experiment).rglob("test_ledger.jsonl"))


@pytest.mark.thorough
def test_only_the_best_checkpoints_stay_on_disk(make_sweep: MakeSweep) -> None:
    experiment = make_sweep({"search.trials": 5, "search.keep": 1, "search.replicates.top": 1})
    tune(experiment)
    trials = sweep_root(experiment) / "trials"
    kept = [path for path in trials.glob("trial-*/checkpoints/best") if "seed" not in path.parts[-3]]
    assert len(kept) == 1
    assert not list(trials.glob("trial-*-????????/checkpoints/last"))


def test_a_finished_sweep_is_left_unchanged(finished: Finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in sweep_root(finished.experiment).rglob("*")}
    again = tune(finished.experiment)
    assert (again.status, again.winner_number) == ("already finished", finished.result.winner_number)
    assert {path: path.stat().st_mtime_ns for path in sweep_root(finished.experiment).rglob("*")} == before


def test_a_finished_sweep_can_be_extended(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    make_cheap(monkeypatch)
    experiment = make_sweep({"search.trials": 2, "search.replicates.top": 0})
    tune(experiment)
    before = outline(experiment)
    more = tune(experiment, add=1)
    assert (more.status, sum(more.trials.values())) == ("finished", 3)
    assert outline(experiment)[:2] == before


@pytest.mark.thorough
def test_a_sweep_stops_at_the_noise_of_validation_and_says_so(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.search.noise.MIN_TRIALS", 3)
    monkeypatch.setattr("raytl.search.stopping.MIN_TRIALS", 3)
    few = {"search.trials": 40, "search.recipes": False, "search.replicates.top": 0, "search.scheduler": "none"}
    experiment, heard = make_sweep({**few, "search.space": {"transfer.unfreeze": {"choice": [0, 1]}}}), Recorder()
    result = tune(experiment, on_event=heard)
    assert result.status == "stopped at validation noise"
    assert result.stop is not None and 3 <= sum(result.trials.values()) < 40
    assert result.stop.gain <= result.stop.noise
    said = [event.text for event in heard.events if isinstance(event, Message)]
    assert any(text.startswith(result.stop.reason) for text in said)
    assert result.stop.reason[1:] in (sweep_root(experiment) / "report.html").read_text()
    assert tune(experiment).status == "already finished"


@pytest.mark.parametrize("trials", [4, 5], ids=["finished", "extended"])
def test_another_experiment_of_that_name_is_refused_with_the_differences(finished: Finished, trials: int) -> None:
    with pytest.raises(RunError, match=r"a sweep of another experiment(.|\n)*optim\.schedule: cosine -> constant"):
        tune(override(finished.experiment, {"optim.schedule": "constant", "search.trials": trials}))


@pytest.mark.thorough
def test_a_killed_sweep_ends_as_an_undisturbed_one(finished: Finished, make_sweep: MakeSweep, tmp_path: Path) -> None:
    killed = make_sweep()
    file = tmp_path / "killed.yaml"
    file.write_text(to_yaml(killed))
    script = (
        "import os, signal, sys\n"
        "from raytl.config.load import load_experiment\n"
        "from raytl.events import Message, Recorder, TrialChanged\n"
        "from raytl.search.driver import tune\n"
        "def die(event):\n"
        "    if isinstance(event, TrialChanged) and event.number == 2 and event.epoch == 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "tune(load_experiment(sys.argv[1]), on_event=die)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(file)], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    tune(killed)
    assert outline(killed) == outline(finished.experiment)


@pytest.mark.thorough
def test_cached_features_give_the_scores_of_pixels_also_those_made_of_a_deeper_split(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many views as epochs, cached rows equal those that pixels would give."""
    computed: list[tuple[int, int]] = []

    def spied(backbone: Backbone, deeper: int, depth: int) -> Any:
        computed.append((deeper, depth))
        return between(backbone, deeper, depth)

    monkeypatch.setattr("raytl.search.feature_cache.between", spied)
    changes = {"search.views": 2, "search.scheduler": "none", "search.replicates.top": 0, "search.recipes": False}
    changes |= {"search.sampler": "grid", "search.space": {"transfer.unfreeze": {"choice": [0, 1, 2, "all"]}}}
    rows = {}
    for setting in ("auto", "off"):
        experiment = make_sweep(changes | {"search.feature_cache": setting, "storage.uri": str(tmp_path / setting)})
        tune(experiment)
        rows[setting] = outline(experiment)
    scores = {name: [(row["transfer.unfreeze"], row["value"]) for row in each] for name, each in rows.items()}
    assert scores["auto"] == scores["off"]
    assert {row["features"] for row in rows["off"]} == {"none"}
    assert {row["features"] for row in rows["auto"]} > {"none"}
    assert computed and all(deeper > depth for deeper, depth in computed)


def test_equal_errors_stop_the_sweep_with_that_error(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("a bug of the trial")

    make_cheap(monkeypatch)
    monkeypatch.setattr("raytl.search.worker.load_run", broken)
    with pytest.raises(TrainingError, match="ended 3 trials(.|\n)*ValueError: a bug of the trial"):
        tune(make_sweep({"search.trials": 8}))


def test_a_trial_out_of_memory_is_retried_once_with_smaller_micro_batches(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    experiment = make_sweep()
    sweep = TrainJob(experiment, str(tmp_path / "trials"), *_samples(experiment))
    run = TrialRun(trial_job(sweep, Suggestion(0, {"transfer.unfreeze": 1})))
    failures = [MemoryError("too much")]

    def scarce(*args: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return load_run(*args, **more)

    monkeypatch.setattr("raytl.search.worker.load_run", scarce)
    result = run.step()
    assert (result.oom_retries, result.last.epoch) == (1, 1)
    assert load_experiment(run.folder.experiment).train.accumulate == 2
    run.close()


def _samples(experiment: Experiment) -> Any:
    from raytl.training.driver import plan

    splits = plan(experiment).dataset.splits
    return splits.train, splits.val, splits.classes


def test_a_budget_that_no_plan_meets_is_refused_before_anything_starts(make_sweep: MakeSweep) -> None:
    experiment = make_sweep({"search.budget": {"wall": 0.5}, "search.trials": 2})
    folder = sweep_root(experiment)
    write_json(folder / TOTAL, {"trials": 2})
    with pytest.raises(RunError, match=r"search\.budget\.wall.* 500 trials take"):
        tune(experiment, add=498)
    assert not (folder / "trials").exists()
    assert total_of(folder, SearchConfig(trials=2)) == Total(2), "the refused number is not kept"


def test_the_plan_shows_every_depth_and_the_arithmetic(make_sweep: MakeSweep) -> None:
    plan = plan_sweep(make_sweep())
    assert [cost.depth for cost in plan.depths] == list(range(len(plan.depths)))
    assert plan.depths[-1].trainable > plan.depths[0].trainable
    assert plan.depths[0].cached and not plan.depths[-1].cached
    assert plan.wall_s.low <= plan.wall_s.likely <= plan.wall_s.high
    assert "CPU" in plan.arithmetic


@pytest.mark.thorough
def test_a_sweep_on_folds_scores_each_trial_by_the_mean_and_keeps_no_checkpoints(make_sweep: MakeSweep) -> None:
    experiment = make_sweep({"search.folds": 2, "search.trials": 3, "search.replicates": {"top": 1, "seeds": 2}})
    result = tune(experiment)
    folder = sweep_root(experiment)
    assert (result.status, result.folds, sum(result.trials.values())) == ("finished", 2, 3)
    for row in outline(experiment):
        runs = sorted(folder.glob(f"trials/trial-{int(row['number']):05d}-????????/fold-?/metrics.jsonl"))
        curves = [[json.loads(line)[result.metric] for line in run.read_text().splitlines()] for run in runs]
        assert float(row["value"]) == pytest.approx(sum(map(max, curves)) / 2)
    assert [len(each.scores) for each in result.replicates] == [2]
    assert not list(folder.glob("trials/*/*/checkpoints/*"))
    with (folder / "trials.csv").open(newline="") as table:
        named = [Path(row["folder"]) for row in csv.DictReader(table)]
    assert [sorted(path.name for path in each.iterdir()) for each in named] == 3 * [["fold-0", "fold-1"]]
    assert not list(folder.rglob("test_ledger.jsonl"))
    assert "Mean over 2 folds" in (folder / "report.html").read_text()
    assert tune(experiment).status == "already finished"
    with pytest.raises(RunError, match=r"search\.folds: 2 -> -"):
        tune(override(experiment, {"search.folds": None, "search.trials": 5}))


@pytest.mark.thorough
def test_a_plan_with_folds_costs_as_many_networks(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.search.preflight._step", lambda *_: 1.0)
    monkeypatch.setattr("raytl.search.preflight._forward", lambda *_: 0.25)
    plain, folded = (plan_sweep(make_sweep({"search.folds": folds})) for folds in (None, 3))
    train, val = (plain.images[split] for split in ("train", "val"))
    assert plain.depths[-1].epoch_s == train + val / 4
    assert folded.depths[-1].epoch_s == 2 * (train + val) + (train + val) / 4
    assert folded.depths[0].cache_bytes > 2 * plain.depths[0].cache_bytes


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_on_ray_ends_with_the_same_kind_of_result(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_cheap(monkeypatch)
    changes = {"compute.cluster": "local", "compute.cpus_per_worker": 1, "search.trials": 3}
    experiment = make_sweep(changes | {"search.replicates.top": 1})
    with early_trials(experiment):
        result = tune(experiment)
    assert not ray.is_initialized()
    assert sum(result.trials.values()) == 3
    assert [len(each.scores) for each in result.replicates] == [2], "its own score, and that of another seed"
    assert json.loads((sweep_root(experiment) / "summary.json").read_bytes())["status"] == "finished"
    assert not (sweep_root(experiment) / ".ray").exists()
    assert len(outline(experiment)) == 3


@pytest.mark.thorough
@pytest.mark.lengthy
@pytest.mark.ray
@pytest.mark.slow
def test_distributed_trials_do_not_deadlock(make_sweep: MakeSweep) -> None:
    changes = {"compute.cluster": "local", "compute.workers": 2, "search.trials": 2, "search.replicates.top": 0}
    experiment = make_sweep(changes)
    result = tune(experiment)
    assert sum(result.trials.values()) == 2
    rows = outline(experiment)
    assert rows[0]["features"] == "frozen below 2", "workers of a trial use cached features too"


def test_a_sweep_starts_from_earlier_ones_and_needs_them_only_once(make_sweep: MakeSweep, tmp_path: Path) -> None:
    values = {"transfer.unfreeze": 1, "transfer.head_lr_ratio": 2.0, "augment.strength": 0.25, "optim.lr": 2e-3}
    trials = [(0.5, {**values, "optim.weight_decay": 0.1}), (0.4, {**values, "optim.weight_decay": 7})]
    old = write_sweep(tmp_path / "old" / "first-sweep", trials, **{"model.name": "test_resnet"})
    experiment = make_sweep({"search.prior": str(old.parent)})
    heard = Recorder()
    inputs = sweep_inputs(experiment, heard)
    lines = [event.text for event in heard.events if isinstance(event, Message)]
    assert "search.prior: not used: first-sweep (1 of 2 trials are outside this space)" in lines
    assert inputs.prior is not None
    assert not inputs.folder.exists()
    study = open_study(inputs)
    save(inputs.folder, inputs.prior)
    asked = [study.ask() for _ in range(2)]
    assert [one.source for one in asked if one] == ["the experiment as it is", "earlier sweep: first-sweep"]
    assert asked[1] is not None
    assert asked[1].overrides == trials[0][1]
    shutil.rmtree(old)  # when the sweep resumes, the bucket may be unreachable
    assert sweep_inputs(experiment, heard).prior == inputs.prior


def begun(experiment: Experiment) -> Path:
    """The folder of a sweep that has begun."""
    folder = sweep_root(experiment)
    folder.mkdir(parents=True)
    (folder / "study.log").touch()
    return folder


def test_a_sweep_that_began_without_earlier_ones_goes_on_without_and_says_so(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    experiment = make_sweep({"search.prior": str(tmp_path)})
    begun(experiment)
    heard = Recorder()
    assert sweep_inputs(experiment, heard).prior is None
    assert "search.prior: not used, as this sweep began without it; --new starts over" in [
        event.text for event in heard.events if isinstance(event, Message)
    ]


@pytest.mark.thorough
def test_the_report_names_the_earlier_sweeps(make_sweep: MakeSweep, tmp_path: Path) -> None:
    values = {"transfer.unfreeze": 0, "augment.strength": 0.5, "optim.lr": 2e-3, "optim.weight_decay": 0.1}
    write_sweep(tmp_path / "old" / "first-sweep", [(0.5, values)], **{"model.name": "test_resnet"})
    search = {"search.trials": 3, "search.prior": str(tmp_path / "old"), "search.replicates.top": 0}
    experiment = make_sweep(search)
    raytl.tune(experiment)
    folder = sweep_root(experiment)
    assert "Earlier sweeps, with their numbers of trials: first-sweep (1)." in (folder / "report.html").read_text()
    assert "earlier sweep: first-sweep" in [row["source"] for row in outline(experiment)]


def test_a_new_sweep_renames_the_old_one_only_once_its_own_inputs_are_good(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    experiment = make_sweep({"search.prior": str(tmp_path)})
    folder = begun(experiment)
    (folder / "recipe.json").write_text("damaged")
    refused = override(experiment, {"data.uri": str(tmp_path / "missing")})
    with pytest.raises(UserError, match="missing"):
        tune(refused, new=True)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} == {"study.log", "recipe.json"}
    heard = Recorder()
    inputs = sweep_inputs(experiment, heard, new=True)
    lines = [event.text for event in heard.events if isinstance(event, Message)]
    assert "search.prior: no earlier sweep of this task, model and objective; this one starts without" in lines
    assert inputs.folder == folder
