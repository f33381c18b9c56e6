"""A winner that can be trusted: the best trials' checkpoints scored again from disk, run again with other seeds, ranked by
mean, and the best recipe refitted without anything shared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from raytl.config.dump import to_yaml
from raytl.config.fingerprint import differences
from raytl.config.places import winner_name
from raytl.config.schema import Experiment
from raytl.config.stored import stored_experiment
from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader
from raytl.data.targets import encode_targets
from raytl.events import Message, OnEvent, Work
from raytl.metrics.scores import scores
from raytl.models.bundle import load_bundle
from raytl.models.card import Card, read_card
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision, predict_logits
from raytl.run.atomic import write_text
from raytl.run.folder import RunFolder
from raytl.run.run_store import RunStore
from raytl.search.checkpoints import Checkpoints
from raytl.search.executor import TrialExecutor, run_tasks, trial_factory
from raytl.search.ranking import Candidate, Ranking, rank
from raytl.search.record import TrialRecord, finalists, lower_is_better
from raytl.search.replicas import Replicas
from raytl.search.soup import Soup, average_weights
from raytl.search.trial import SweepJob, Task, winner_experiment
from raytl.search.worker import Result
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.training.driver import train
from raytl.world import World


@dataclass(frozen=True)
class Winner:
    """The trial that won, and why. `rescored` is its own checkpoint read from disk and scored again; `refit_score` that of
    the recipe trained once more on fresh augmentation, with nothing shared, in `run`."""

    record: TrialRecord
    ranking: Ranking
    rescored: float
    refit_score: float | None
    experiment_file: str
    run: str
    soup: Soup | None = None


def select_winner(
    records: Sequence[TrialRecord],
    sweep: SweepJob,
    executor: TrialExecutor,
    folder: Path,
    original: Experiment,
    on_event: OnEvent,
    checkpoints: Checkpoints,
) -> Winner:
    """The winner among `records`, with its experiment file in `folder` and its refitted run beside the sweep."""
    metric = original.search.metrics[0]
    best = _best_here(finalists(list(records), metric), max(1, original.search.replicates.top), sweep.s3, on_event)
    own = {record.number: rescored(record, sweep, metric) for record in best}
    others = _replicates(best, sweep, executor, folder, on_event, checkpoints)
    candidates = [_candidate(record, own[record.number], others) for record in best]
    ranking = rank(candidates, lower_is_better(metric))
    record = next(record for record in best if record.number == ranking.winner)
    experiment = winner_experiment(original, record.overrides, winner_name(original))
    file = folder / "winner.yaml"
    write_text(file, to_yaml(experiment))
    on_event(Message(f"trial {record.number} wins: {ranking.reason}"))
    soup = _soup(records, sweep, folder, on_event)
    on_event(Message("refitting the winner on fresh augmentation, with nothing shared"))
    refit = train(experiment, new=_is_another(experiment), on_event=on_event)
    return Winner(record, ranking, own[record.number], refit.metrics[metric], str(file), refit.run, soup)


def brought(record: TrialRecord, s3: S3Settings = ENVIRONMENT) -> TrialRecord:
    """The trial with its folder on this machine, whichever it was trained on."""
    run_store = RunStore(record.folder, s3=s3)
    run_store.fetch()
    return replace(record, folder=str(run_store.folder.root))


def _best_here(records: Sequence[TrialRecord], count: int, s3: S3Settings, on_event: OnEvent) -> list[TrialRecord]:
    """The first `count` that left a checkpoint."""
    found: list[TrialRecord] = []
    for record in (brought(each, s3) for each in records):
        if RunFolder(Path(record.folder)).best.exists():
            found.append(record)
        else:
            on_event(Message(f"trial {record.number} is left out: its checkpoint was lost with its machine", "warning"))
        if len(found) == count:
            break
    return found


def rescored(record: TrialRecord, sweep: SweepJob, metric: str) -> float:
    """The score on the validation split of the checkpoint that earned the trial its value, read from disk."""
    module, card = load_bundle(RunFolder(Path(record.folder)).best)
    return _score(module, card, sweep, metric)


def _score(module: nn.Module, card: Card, sweep: SweepJob, metric: str) -> float:
    experiment = sweep.experiment
    device = pick_device(experiment.compute.device)
    targets = encode_targets(sweep.val, card.classes)
    images = open_images(sweep.val, card.preprocess, experiment.data, s3=sweep.s3)
    loader = EvalLoader(images, targets, card.preprocess, batch=EVAL_BATCH[device.type], world=World.solo())
    precision = pick_precision(experiment.train.precision, device)
    _, logits, found = predict_logits(module.to(device), loader, card.preprocess, device, precision)
    return float(scores(found, logits)[metric.removeprefix("val/")])


def _soup(records: Sequence[TrialRecord], sweep: SweepJob, folder: Path, on_event: OnEvent) -> Soup | None:
    """The soup that `search.soup` asks for; None where it asks for none, or too few checkpoints are on disk."""
    search = sweep.experiment.search
    if search.soup == "off":
        return None
    metric = search.metrics[0]
    sign = -1.0 if lower_is_better(metric) else 1.0
    kept = [
        brought(each, sweep.s3) for each in finalists(list(records), metric)[: max(search.keep, search.replicates.top)]
    ]
    card = read_card(RunFolder(Path(kept[0].folder)).best)
    made = average_weights(
        search.soup, kept, lambda module: sign * _score(module, card, sweep, metric), folder / "soup"
    )
    if made is None:
        on_event(Message("no soup: fewer than two trials left a checkpoint", "warning"))
        return None
    soup = replace(made, score=sign * made.score)
    trials = ", ".join(map(str, soup.trials))
    on_event(Message(f"{search.soup} soup of trials {trials}: {metric} {soup.score:.4f}, in {soup.folder}"))
    return soup


def _replicates(
    best: Sequence[TrialRecord],
    sweep: SweepJob,
    executor: TrialExecutor,
    folder: Path,
    on_event: OnEvent,
    checkpoints: Checkpoints,
) -> dict[tuple[int, int | None], float | None]:
    """Scores by (trial, seed) of the finalists trained with other seeds."""
    search, seed = sweep.experiment.search, sweep.experiment.train.seed
    if search.replicates.top == 0:
        return {}
    seeds = range(seed + 1, seed + search.replicates.seeds)
    tasks = [Task(record.number, record.overrides, other) for record in best for other in seeds]
    replicas = Replicas(tasks, folder / "replicates.jsonl", search.metrics[0])
    todo = list(iter(replicas.ask, None))
    done = len(tasks) - len(todo)
    for task, results in run_tasks(todo, trial_factory(sweep, executor.shape), executor):
        replicas.tell(task, _best(results, search.metrics[0]), results[-1])
        checkpoints.drop(f"{sweep.root}/{task.folder}")
        done += 1
        on_event(Work("replicates", done, len(tasks), "runs"))
    return replicas.scores()


def _best(results: Sequence[Result], metric: str) -> float | None:
    """The best score of all epochs; None where there is none."""
    epochs = [metrics for told in results for _, metrics in (*told.get("earlier", ()), (0, told["metrics"]))]
    scores = [float(metrics[metric]) for metrics in epochs if metric in metrics]
    return (min if lower_is_better(metric) else max)(scores, default=None)


def _candidate(record: TrialRecord, own: float, others: dict[tuple[int, int | None], float | None]) -> Candidate:
    replicates = [score for (number, _), score in sorted(others.items(), key=str) if number == record.number]
    values = (own, *(math.nan if score is None else score for score in replicates))
    depth = record.overrides.get("transfer.unfreeze", 0)
    return Candidate(record.number, dict(record.overrides), record.trainable, depth_number(depth), values)


def depth_number(depth: Any) -> int:
    """An unfreeze depth as a number; all stages count as more than any."""
    return 10**6 if depth == "all" else int(depth)


def _is_another(experiment: Experiment) -> bool:
    """True when the place of the winner's run holds the run of another winner."""
    run_store = RunStore.of(experiment)
    run_store.fetch()
    folder = run_store.folder
    return folder.experiment.exists() and bool(differences(stored_experiment(folder.experiment).recipe, experiment))
