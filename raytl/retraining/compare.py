"""Champion and challenger, scored by the same code on the same frozen images, whose bytes are checked first."""

from __future__ import annotations

import json
import timeit
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from raytl.cluster.worker_group import run_group
from raytl.config.schema import Experiment
from raytl.data.group_split import group_columns, sampling_groups
from raytl.data.manifest import Sample, dataset_digest, snapshot_id
from raytl.errors import RegistryError
from raytl.evaluation.record import verified
from raytl.evaluation.worker import Shard, evaluated_split, score_shard
from raytl.events import Message, OnEvent
from raytl.metrics.draws import Groups
from raytl.models.card import WEIGHTS, Card, read_card
from raytl.models.forward import pick_device, pick_precision
from raytl.retraining.gate import Comparison, gate_metric
from raytl.store.s3_settings import S3Settings
from raytl.tasks.inference import Network
from raytl.tasks.registry import task_named
from raytl.tasks.reporting import ComparedImage, Evaluated, TaskComparison
from raytl.tasks.saved import load_saved
from raytl.world import World

_WARMUP_RUNS, _TIMED_RUNS = 3, 20
EVALUATED = "evaluation.jsonl"
"""The work file with the frozen evaluation images of a tick and the predictions of both models."""


@dataclass(frozen=True)
class SavedModel:
    """A model to compare: its folder, and the run or version where another node finds it."""

    model_folder: Path
    run: str

    @property
    def card(self) -> Card:
        """The card of the saved model."""
        return read_card(self.model_folder)


@dataclass(frozen=True)
class Predictions:
    """The answers of both models for each evaluation image."""

    samples: Sequence[Sample]
    images: tuple[ComparedImage, ...]

    def encoded(self) -> bytes:
        """Encode as JSON lines, one per image."""
        lines = (
            {
                **sample.record(),
                "champion": image.champion,
                "challenger": image.challenger,
                "confidence": round(image.confidence, 4),
                "change": image.change,
            }
            for sample, image in zip(self.samples, self.images, strict=True)
        )
        return "".join(json.dumps(line) + "\n" for line in lines).encode()


def compare(
    experiment: Experiment,
    evaluated: Sequence[Sample],
    champion: SavedModel | None,
    challenger: SavedModel,
    trained_on: Collection[str],
    scratch: Path,
    on_event: OnEvent,
) -> tuple[Comparison, Predictions]:
    """Score both models on the `evaluated` images; `trained_on` are the digests of the data that the champion was trained on.

    The caller fills in version numbers, the number of comparisons, and leaks.

    Raises:
        DataError: the bytes of an evaluation image have changed.
        ConfigError: the task has no metric `retrain.gate.metric`.
        RegistryError: the models are of different tasks.
    """
    check_task(champion, challenger.card.task)
    reporting, gate = task_named(challenger.card.task).reporting, experiment.retrain.gate
    metric = gate_metric(reporting, gate)
    s3 = S3Settings.of(experiment.storage)
    samples = verified(evaluated, experiment.data.uri, on_event, experiment.data.zip_encoding, s3)
    groups = _groups(samples, experiment, on_event)
    new = replace(_answers(experiment, samples, challenger, champion, scratch, on_event), groups=groups)
    old = None if champion is None else _answers(experiment, samples, champion, challenger, scratch, on_event)
    fresh = [sample.digest not in trained_on for sample in samples]
    result = reporting.compare(old, new, fresh, metric, gate.confidence)
    compared = _comparison(experiment, samples, result, champion, challenger)
    return replace(compared, groups=_count(groups)), Predictions(samples, result.images)


def _groups(samples: Sequence[Sample], experiment: Experiment, on_event: OnEvent) -> Groups | None:
    """Return the group of each image, `(n,)`; None if images are independent, with a warning if all are of one group."""
    columns = experiment.data.columns
    groups, names = sampling_groups(samples, columns), ", ".join(group_columns(columns))
    of_groups = f" of {_count(groups)} groups ({names})" if groups is not None else ""
    on_event(Message(f"Comparing on {len(samples)} frozen evaluation images{of_groups}"))
    if groups is None and names:
        on_event(
            Message(f"all of them are of one group ({names}), so the tests count images and are too sure", "warning")
        )
    return groups


def _count(groups: Groups | None) -> int:
    return 0 if groups is None else len(np.unique(groups))


def evaluation_id(samples: Sequence[Sample]) -> str:
    """Return the id of frozen evaluation images, from their keys, targets and bytes."""
    return snapshot_id(dataset_digest(samples))


def check_task(champion: SavedModel | None, task: str) -> None:
    """Check that the champion is a model for `task`.

    Raises:
        RegistryError: it is one for another task.
    """
    if champion is not None and champion.card.task != task:
        raise RegistryError(
            f"{champion.run}: the champion is a model for {champion.card.task}, and the challenger one for "
            f"{task}; expected one task in a registry. Set retrain.registry to a registry of its own."
        )


def _comparison(
    experiment: Experiment,
    samples: Sequence[Sample],
    result: TaskComparison,
    champion: SavedModel | None,
    challenger: SavedModel,
) -> Comparison:
    old = None if champion is None else champion.card
    return Comparison(
        evaluation=evaluation_id(samples),
        images=len(samples),
        looks=0,
        champion=None,
        challenger=0,
        same_weights=old is not None and old.digest == challenger.card.digest,
        metrics=result.metrics,
        champion_metrics=result.champion_metrics,
        paired=result.paired,
        slices=result.slices,
        latency_ms=_latency_ms(experiment, challenger),
        champion_latency_ms=None if champion is None else _latency_ms(experiment, champion),
        size_bytes=(challenger.model_folder / WEIGHTS).stat().st_size,
        unknown=() if old is None else tuple(name for name in challenger.card.classes if name not in old.classes),
    )


def _answers(
    experiment: Experiment,
    samples: Sequence[Sample],
    model: SavedModel,
    other: SavedModel | None,
    scratch: Path,
    on_event: OnEvent,
) -> Evaluated:
    """Return the answers of `model`; its classes, and then those that only the `other` model has."""
    compute, card = experiment.compute, model.card
    more = () if other is None else tuple(name for name in other.card.classes if name not in card.classes)
    shard = Shard(
        model_folder=str(model.model_folder.absolute()),
        samples=samples,
        classes=(*card.classes, *more),
        device=compute.device,
        precision=experiment.train.precision,
        max_pixels=experiment.data.max_pixels,
        digest=card.digest,
        run=model.run,
        data=experiment.data.uri,
        s3=S3Settings.of(experiment.storage),
        zip_encoding=experiment.data.zip_encoding,
    )
    if compute.workers == 1:
        rows = score_shard(World.solo(), shard, on_event)
    else:
        rows = run_group(score_shard, shard, compute, scratch=scratch, on_event=on_event)
    return evaluated_split(shard, rows)


def _latency_ms(experiment: Experiment, model: SavedModel) -> float:
    """Return the milliseconds of one image through the network here: the minimum of 20 runs, as other load only adds."""
    saved = load_saved(model.model_folder)
    preprocess, device = saved.card.preprocess, pick_device(experiment.compute.device)
    precision = pick_precision(experiment.train.precision, device)
    network = Network(saved.task, saved.module.to(device), preprocess, device, precision)
    height, width = preprocess.view_size
    image = torch.zeros(1, preprocess.channels, height, width, dtype=torch.uint8)

    def predict() -> None:
        network.answers(image, [(width, height)])

    timeit.repeat(predict, number=1, repeat=_WARMUP_RUNS)
    return 1000 * min(timeit.repeat(predict, number=1, repeat=_TIMED_RUNS))
