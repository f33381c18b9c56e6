"""The winner: rescore the best checkpoints from disk, train them with other seeds, rank them by mean, and refit the best
recipe without cached features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from raytl.config.dump import to_yaml
from raytl.config.places import winner_name
from raytl.config.schema import Experiment
from raytl.errors import TrainingError
from raytl.events import Message, OnEvent, Work
from raytl.metrics.direction import lower_is_better
from raytl.models.card import read_card
from raytl.run.atomic import write_text
from raytl.run.folder import RunFolder
from raytl.run.run_store import RunStore
from raytl.search.checkpoints import Checkpoints
from raytl.search.executor import TrialExecutor, run_replicates, trial_factory
from raytl.search.folds import fold_folders
from raytl.search.methods import methods_of, simpler_than, with_simplest
from raytl.search.protocol import Suggestion, TrialResult
from raytl.search.ranking import Candidate, Ranking, rank
from raytl.search.record import TrialRecord, finalists
from raytl.search.replicas import Replicas
from raytl.search.rescore import fetched, rescore, score, smoothing_of
from raytl.search.soup import Soup, average_weights
from raytl.search.trial import winner_experiment
from raytl.store.s3_settings import S3Settings
from raytl.training.driver import is_unchanged, train
from raytl.training.job import TrainJob

Scores = dict[tuple[int, int | None], float | None]
"""The score of each replicate by (trial, seed); None if it failed."""


@dataclass(frozen=True)
class Winner:
    """The winning trial and the reason. `rescored` is the score of its own checkpoint, read from disk, or its mean over folds; `refit_score` that
    of the recipe trained again on fresh augmentation, without cached features, in `run`."""

    record: TrialRecord
    ranking: Ranking
    rescored: float
    refit_score: float | None
    experiment_file: str
    run: str
    soup: Soup | None = None


@dataclass(frozen=True)
class Jobs:
    """The job of a sweep's `trials`, and that of the repetitions of its `finalists`, on images of the full size."""

    trials: TrainJob
    finalists: TrainJob

    @property
    def differ(self) -> bool:
        """True if the trials had smaller images: their scores are not compared with those of repetitions."""
        return self.trials is not self.finalists


def select_winner(
    records: Sequence[TrialRecord],
    jobs: Jobs,
    executor: TrialExecutor,
    folder: Path,
    original: Experiment,
    on_event: OnEvent,
    checkpoints: Checkpoints,
) -> Winner:
    """Select the winner of `records`, write its experiment file into `folder`, and refit it in a run beside the sweep."""
    metric, sweep = original.search.metrics[0], jobs.trials
    finals = finalists(list(records), metric)
    count = max(1, original.search.replicates.top)
    if sweep.folds:  # their networks are dropped: the winner is trained on train
        best = with_simplest(finals, count)
        own = {record.number: record.values[0] for record in best if record.values}
    else:
        best = _with_checkpoints(finals, count, sweep.s3, on_event)
        own = {record.number: rescore(record, sweep, metric) for record in best}
    replicates = _replicates(best, jobs, executor, folder, on_event, checkpoints)
    candidates = [
        _candidate(record, None if _repeats_own(record, jobs) else own[record.number], replicates) for record in best
    ]
    ranking = rank(candidates, lower_is_better(metric))
    record = next(record for record in best if record.number == ranking.winner)
    experiment = winner_experiment(original, record.overrides, winner_name(original))
    file = folder / "winner.yaml"
    write_text(file, to_yaml(experiment))
    on_event(Message(f"trial {record.number} wins: {ranking.reason}"))
    soup = _soup(records, sweep, folder, on_event)
    epochs = f"for {experiment.train.epochs} epochs on fresh augmentation, without cached features"
    on_event(Message(f"refitting the winner {epochs}"))
    refit = train(experiment, new=_is_other_winner(experiment), on_event=on_event)
    return Winner(record, ranking, own[record.number], refit.metrics[metric], str(file), refit.run, soup)


def _with_checkpoints(
    records: Sequence[TrialRecord], count: int, s3: S3Settings, on_event: OnEvent
) -> list[TrialRecord]:
    """Return the first `count` trials that have a checkpoint, and the best one with the fewest methods, if it has one.

    Raises:
        TrainingError: none has one.
    """
    available: list[TrialRecord] = []
    rest = list(records)
    while rest and len(available) < count:
        record = rest.pop(0)
        if (here := _with_checkpoint(record, s3)) is not None:
            available.append(here)
        else:
            on_event(Message(f"trial {record.number} is excluded: its checkpoint was lost with its node", "warning"))
    if not available:
        raise TrainingError(
            f"none of the {len(records)} trials with a score has a checkpoint here, so there is no winner. Restore the folder of "
            "the trials, run --add N for more trials, or start over with --new (the old sweep is renamed, not deleted)"
        )
    simpler = (here for each in simpler_than(available, rest) if (here := _with_checkpoint(each, s3)) is not None)
    return [*available, *islice(simpler, 1)]


def _with_checkpoint(record: TrialRecord, s3: S3Settings) -> TrialRecord | None:
    """Return the trial with its folder on this node; None without a checkpoint."""
    here = fetched(record, s3)
    return here if RunFolder(Path(here.folder)).best.exists() else None


def _soup(records: Sequence[TrialRecord], sweep: TrainJob, folder: Path, on_event: OnEvent) -> Soup | None:
    """Return the soup that `search.soup` asks for; None if it is off, or too few checkpoints are on disk."""
    search = sweep.experiment.search
    if search.soup == "off":
        return None
    metric = search.metrics[0]
    sign = -1.0 if lower_is_better(metric) else 1.0
    best = finalists(list(records), metric)[: max(search.keep, search.replicates.top)]
    best = [here for each in best if (here := _with_checkpoint(each, sweep.s3)) is not None]

    def signed(module: nn.Module) -> float:
        card = read_card(RunFolder(Path(best[0].folder)).best)
        return sign * score(module, card, sweep, metric, smoothing_of(best[0], sweep))

    soup = average_weights(search.soup, best, signed, folder / "soup")
    if soup is None:
        on_event(Message("no soup: fewer than two of the best trials have a checkpoint of the same network", "warning"))
        return None
    soup = replace(soup, score=sign * soup.score)
    trials = ", ".join(map(str, soup.trials))
    on_event(Message(f"{search.soup} soup of trials {trials}: {metric} {soup.score:.4f}, in {soup.folder}"))
    return soup


def _replicates(
    best: Sequence[TrialRecord],
    jobs: Jobs,
    executor: TrialExecutor,
    folder: Path,
    on_event: OnEvent,
    checkpoints: Checkpoints,
) -> Scores:
    """Train the finalists with other seeds, and with their own where its score cannot be compared; return the scores."""
    sweep = jobs.finalists
    search, own_seed = sweep.experiment.search, sweep.experiment.train.seed
    if search.replicates.top == 0:
        return {}
    suggestions = [
        Suggestion(record.number, record.overrides, seed=own_seed + number)
        for record in best
        for number in range(not _repeats_own(record, jobs), search.replicates.seeds)
    ]
    replicas = Replicas(suggestions, folder / "replicates.jsonl", retry=jobs.differ)
    done = len(suggestions) - len(replicas.remaining)
    factory = trial_factory(sweep, executor.shape)
    for suggestion, results in run_replicates(replicas.remaining, factory, executor):
        replicas.tell(suggestion, _best_score(results, search.metrics[0]), results[-1])
        for location in fold_folders(f"{sweep.location}/{suggestion.folder}", search.folds):
            checkpoints.drop(location)
        done += 1
        on_event(Work("replicates", done, len(suggestions), "runs"))
    return replicas.scores()


def _repeats_own(record: TrialRecord, jobs: Jobs) -> bool:
    """Return whether the trial is repeated with its own seed too: its images were smaller, or it was stopped early."""
    return jobs.differ or (record.state != "complete" and jobs.trials.experiment.search.replicates.top > 0)


def _best_score(results: Sequence[TrialResult], metric: str) -> float | None:
    """Return the best score of all epochs; None if there is none."""
    values = [epoch.metrics[metric] for result in results for epoch in result.epochs if metric in epoch.metrics]
    return (min if lower_is_better(metric) else max)(filter(math.isfinite, values), default=None)


def _candidate(record: TrialRecord, own: float | None, replicates: Scores) -> Candidate:
    by_seed = sorted(replicates.items(), key=lambda replicate: replicate[0][1] or 0)  # scores are paired by position
    others = [score for (number, _), score in by_seed if number == record.number]
    values = (*([] if own is None else [own]), *(math.nan if score is None else score for score in others))
    depth = depth_number(record.overrides.get("transfer.unfreeze", 0))
    methods = methods_of(record.overrides)
    return Candidate(record.number, dict(record.overrides), record.trainable, depth, values, methods)


def depth_number(depth: Any) -> int:
    """Return an unfreeze depth as a number; all stages count as more than any."""
    return 10**6 if depth == "all" else int(depth)


def _is_other_winner(experiment: Experiment) -> bool:
    """Return True if the location of the winner's run holds the run of another winner, or of the same one on other data."""
    run_store = RunStore.of(experiment)
    run_store.fetch()
    return run_store.folder.experiment.exists() and not is_unchanged(run_store.folder, experiment)
