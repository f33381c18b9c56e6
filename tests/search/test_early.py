"""What a sweep starts before this process imports torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raytl.cluster.session import Prestart
from raytl.config.schema import Experiment
from raytl.search import early
from raytl.search.early import early_trials, trial_processes
from raytl.search.shape import Node
from raytl.search.summary import SUMMARY, sweep_root

MODULES = ("raytl.search.trial_process",)


def sweep(folder: Path = Path("runs"), trials: int = 64, **compute: object) -> Experiment:
    """Return an experiment with these resources."""
    return Experiment(
        name="sweep",
        data="photos",
        model="resnet18",
        compute={"device": "cpu", **compute},
        storage={"uri": str(folder)},
        search={"trials": trials},
    )


@pytest.mark.parametrize(
    ("cpus", "trials", "compute", "expected"),
    [
        (8, 64, {}, Prestart(8, MODULES, 1)),
        (8, 3, {}, Prestart(3, MODULES, 1)),
        (8, 64, {"cpus_per_worker": 2}, Prestart(4, MODULES, 2)),
        (8, 64, {"cpus_per_worker": 0.5}, Prestart(16, MODULES, 1)),
        (1, 64, {}, None),  # one at a time, in this process
        (8, 64, {"cpus_per_worker": 8}, None),
        (2, 64, {"cpus_per_worker": 8}, None),  # none fits: the plan says so
        (8, 64, {"workers": 2}, None),
        (8, 64, {"cluster": "embedded"}, None),  # the refit of its winner has other threads
        (8, 64, {"cluster": "none"}, None),
        (8, 64, {"cluster": "auto"}, None),
    ],
)
def test_the_processes_that_start_are_those_that_run_trials_at_once(
    cpus: int, trials: int, compute: dict[str, object], expected: Prestart | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "this_machine", lambda gpus: Node(cpus, gpus))
    assert trial_processes(sweep(trials=trials, **compute)) == expected


def test_with_a_gpu_driver_torch_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "this_machine", lambda gpus: Node(8, gpus))
    monkeypatch.setattr(early, "_GPU_DRIVERS", (str(tmp_path),))
    assert trial_processes(sweep(device="auto")) is None
    assert trial_processes(sweep(device="cpu")) is not None


def test_nothing_disturbs_a_measurement_that_a_budget_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "this_machine", lambda gpus: Node(8, gpus))
    experiment = sweep()
    budget = experiment.search.budget.model_copy(update={"wall": 3600.0})
    search = experiment.search.model_copy(update={"budget": budget})
    assert trial_processes(experiment) is not None
    assert trial_processes(experiment.model_copy(update={"search": search})) is None


def test_a_finished_sweep_starts_nothing_unless_it_starts_over_or_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[Experiment] = []
    monkeypatch.setattr(early, "trial_processes", wanted.append)
    experiment = sweep(tmp_path)
    sweep_root(experiment).mkdir(parents=True)
    (sweep_root(experiment) / SUMMARY).write_text("{}")
    with early_trials(experiment):
        assert wanted == []
    with early_trials(experiment, again=True):
        assert wanted == [experiment]


def test_what_starts_early_needs_no_torch() -> None:
    heavy = "[name for name in ('torch', 'ray', 'optuna', 'timm') if name in sys.modules]"
    code = f"import sys, json, raytl.search.early, raytl.cli.main; print(json.dumps({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
