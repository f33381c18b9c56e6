"""Every task trains, is evaluated and predicts; the number of workers and a killed process change no result."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import re
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from raytl.config.schema import Experiment
from raytl.data.samples import SAMPLE_FORMAT
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.predict import predict
from raytl.evaluation.worker import Shard, evaluated_split, score_shard
from raytl.events import Event, Recorder, Step, ignore
from raytl.models.forward import EVAL_BATCH
from raytl.models.saved_model import read_card
from raytl.run import RunFolder, journal
from raytl.store.s3_settings import S3Settings
from raytl.tasks.registry import task_named
from raytl.tasks.reporting import Occasion, Subject
from raytl.training import checkpoint, steps
from raytl.training.driver import TrainResult, plan, train
from raytl.training.job import TrainJob
from raytl.training.normalizer import Normalizer
from raytl.training.step_log import Requests
from raytl.training.worker import train_worker
from raytl.world import World
from tests.training.scenes import TASKS, toy_task, write_scenes

Target = Callable[[World, Any], Any]
SLOWER = ("classification", "instances", "detection", "segmentation")  # the first is trained by many other tests
each_task = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes and photos; not to be written to."""
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[pytest.mark.thorough] if task in SLOWER else []) for task in TASKS]
)
def test_a_task_trains_is_evaluated_and_predicts(task: str, scenes: Path, tmp_path: Path) -> None:
    experiment = toy_task(task, scenes, tmp_path / "runs")
    result = train(experiment)
    folder, contract = RunFolder.open(result.run), task_named(task)
    assert folder.finished and folder.verify() == []
    assert {name for name in result.metrics if name.startswith("val/")} == {f"val/{name}" for name in contract.metrics}
    assert all(math.isfinite(value) for value in result.metrics.values())
    card = read_card(folder.best)
    assert card.task == task
    assert (card.predict_score is None) == (contract.limits is None)
    assert card.predict_score == result.metrics.get("predict/score")
    report = evaluate(result.run, resamples=20)
    assert 0 < report.images == len(_samples(folder, "test"))
    assert set(report.metrics) >= set(contract.metrics)
    written = {path.name for path in Path(report.folder).iterdir()}
    assert {"report.md", "report.json", *report.pictures} <= written
    photos = [sample.path for sample in _samples(folder, "test")][:2]
    assert predict(result.run, photos, out=tmp_path / "answers.csv").paths == tuple(photos)
    assert (tmp_path / "answers.csv").read_text().count("\n") >= 1


@pytest.mark.thorough
@each_task
def test_one_two_and_three_workers_evaluate_to_the_same_bits(
    task: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EVAL_BATCH, "cpu", 2)
    result = train(toy_task(task, scenes, tmp_path / "runs"))
    shard = _shard(RunFolder.open(result.run))
    alone = _scores(shard)
    for size in (2, 3):
        assert _on_workers(size, _worker_scores, shard, tmp_path) == [alone] * size


@pytest.mark.thorough
@each_task
def test_the_losses_of_two_and_three_workers_are_those_of_one(
    task: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "EVENT_EVERY_S", 0.0)
    model = {} if task_named(task).limits or task == "segmentation" else {"model.name": "test_convnext"}
    alone = _fitted(1, toy_task(task, scenes, tmp_path / "1", model), tmp_path)
    assert len(alone.losses) == len(alone.normalizers) >= 3
    for size in (2, 3):
        found = _fitted(size, toy_task(task, scenes, tmp_path / str(size), model), tmp_path)
        assert found.normalizers == alone.normalizers
        assert found.losses[0] == pytest.approx(alone.losses[0], rel=1e-5)
        assert found.losses == pytest.approx(alone.losses, rel=1e-3)


@pytest.mark.thorough
@each_task
def test_a_killed_run_resumes_to_the_same_bits(task: str, scenes: Path, tmp_path: Path) -> None:
    changes = {"train.epochs": 2, "train.checkpoint_every_s": 1e-9}
    whole = train(toy_task(task, scenes, tmp_path / "whole", changes))
    broken = toy_task(task, scenes, tmp_path / "broken", changes)
    process = multiprocessing.get_context("fork").Process(target=_train_until_killed, args=(broken,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    resumed = train(broken)
    assert (whole.status, resumed.status) == ("trained", "resumed")
    assert _records(resumed) == _records(whole)
    one, other = (load_file(RunFolder.open(each.run).best / "model.safetensors") for each in (whole, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.thorough
def test_two_workers_pause_at_the_same_step_and_resume_to_the_same_bits(scenes: Path, tmp_path: Path) -> None:
    changes = {"train.epochs": 2, "train.batch_size": 4, "train.checkpoint_every_s": 1e9}
    whole, parts = (_job(toy_task("multilabel", scenes, tmp_path / name, changes)) for name in ("whole", "parts"))
    _on_workers(2, train_worker_quietly, whole, tmp_path)
    assert _on_workers(2, _worker_pauses, parts, tmp_path) == ["Paused"] * 2
    state = checkpoint.load(RunFolder(Path(parts.location)).last)
    assert state is not None and (state.progress.epoch, state.progress.step) == (0, 3), (
        "asked for at step 2, agreed at 3"
    )
    (again := tmp_path / "again").mkdir()
    assert _on_workers(2, train_worker_quietly, parts, again) == ["Outcome"] * 2
    one, other = (checkpoint.load(RunFolder(Path(job.location)).last) for job in (whole, parts))
    assert one is not None and other is not None
    assert one.model.keys() == other.model.keys()
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)


def _worker_pauses(world: World, job: TrainJob) -> str:
    """Train on a worker; the second one asks for a pause after its second step."""
    requests, step = steps._requests, count(1)

    def pausing(*values: Any) -> Requests:
        return requests(*values) | Requests(pause=world.rank == 1 and next(step) == 2)

    setattr(steps, "_requests", pausing)  # noqa: B010
    return train_worker_quietly(world, job)


def train_worker_quietly(world: World, job: TrainJob) -> str:
    return type(train_worker(world, job, ignore)).__name__


class _Kill:
    """Kills this process in the middle of the second epoch, after a step whose checkpoint was saved."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 2):
            os.kill(os.getpid(), signal.SIGKILL)


def _train_until_killed(experiment: Experiment) -> None:
    steps.EVENT_EVERY_S = 0.0
    train(experiment, on_event=_Kill())


@dataclass(frozen=True)
class _Fitted:
    """The loss and the normalizer of each step."""

    losses: list[float]
    normalizers: list[float]


def _fitted(size: int, experiment: Experiment, scratch: Path) -> _Fitted:
    fitted: _Fitted = _on_workers(size, _worker_fits, _job(experiment), scratch)[0]
    return fitted


def _job(experiment: Experiment) -> TrainJob:
    run_plan = plan(experiment)
    folder = RunFolder.of(experiment)
    folder.root.mkdir(parents=True)
    splits = run_plan.dataset.splits
    return TrainJob(run_plan.experiment, str(folder.root), splits.train, splits.val, splits.classes)


def _worker_fits(world: World, job: TrainJob) -> _Fitted:
    normalizers: list[float] = []

    def recorded(*values: Any) -> Normalizer:
        normalizer = Normalizer(*values)
        normalizers.append(float(normalizer.total()))
        return normalizer

    setattr(steps, "Normalizer", recorded)  # noqa: B010
    watcher = Recorder()
    train_worker(world, job, watcher)
    return _Fitted([event.loss for event in watcher.events if isinstance(event, Step)], normalizers)


def _worker_scores(world: World, shard: Shard) -> str:
    return _scores(shard, world)


def _scores(shard: Shard, world: World | None = None) -> str:
    """Return everything that the report of the shard's samples says, with all digits."""
    rows = score_shard(world or World.solo(), shard, ignore)
    occasion = Occasion(Subject("toy", "net", "test", "e", "d", 0), 1, (), 20, "")
    report = task_named(read_card(shard.model_folder).task).reporting.report(occasion, evaluated_split(shard, rows))
    return json.dumps(report.to_json(), sort_keys=True)


def _on_workers(size: int, target: Target, job: Any, scratch: Path) -> list[Any]:
    """Return what `target(world, job)` returns on each of `size` processes with a gloo group."""
    context = multiprocessing.get_context("fork")
    queue, meeting = context.SimpleQueue(), scratch / f"meet-{target.__name__}-{size}"
    arguments = [(World(rank, size, rank), target, job, meeting, queue) for rank in range(size)]
    processes = [context.Process(target=_member, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * size
    found = dict(queue.get() for _ in processes)
    return [found[rank] for rank in range(size)]


def _member(world: World, target: Target, job: Any, meeting: Path, queue: Any) -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)  # torch's, of its own default
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=world.rank, world_size=world.size)
    queue.put((world.rank, target(world, job)))
    dist.destroy_process_group()


def _shard(run: RunFolder) -> Shard:
    card = read_card(run.best)
    samples, s3 = tuple(_samples(run, "test")), S3Settings()
    return Shard(str(run.best), samples, card.classes, "cpu", "fp32", 10**6, card.digest, str(run.root), "nowhere", s3)


def _samples(run: RunFolder, split: str) -> list[Any]:
    return [sample for sample in journal.read(run.samples, SAMPLE_FORMAT) if sample.split == split]


def _records(result: TrainResult) -> list[dict[str, Any]]:
    """Return the metrics of each epoch without times and rates."""
    clocks = re.compile("seconds|images_per_s")
    lines = journal.read(RunFolder.open(result.run).metrics)
    return [{key: value for key, value in line.items() if not clocks.search(key)} for line in lines]
