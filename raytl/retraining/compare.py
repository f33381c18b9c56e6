"""Champion and challenger, scored by the same code on the same frozen images, whose bytes are checked first."""

from __future__ import annotations

import json
import timeit
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.cluster.worker_group import run_group
from raytl.config.schema import Experiment
from raytl.data.manifest import Sample, dataset_digest, snapshot_id
from raytl.evaluation.record import verified
from raytl.evaluation.worker import Shard, probabilities
from raytl.events import Message, OnEvent
from raytl.metrics.paired import mcnemar, paired
from raytl.metrics.scores import facts, measure
from raytl.models.bundle import load_bundle
from raytl.models.card import WEIGHTS, read_card
from raytl.models.forward import forward, is_channels_last, pick_device, pick_precision
from raytl.retraining.gate import Comparison, Slice
from raytl.store.s3_settings import S3Settings
from raytl.tasks.classification.targets import encode_targets
from raytl.world import World

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
_WARMUP_RUNS, _TIMED_RUNS = 3, 20
_MIN_NEW_IMAGES = 10
NEW_IMAGES = "new images"
EVALUATED = "evaluation.jsonl"
"""The work file with the frozen evaluation images of a tick and the predictions of both models."""


@dataclass(frozen=True)
class SavedModel:
    """A model to compare: the folder of its bundle, and the run or version where another node finds it."""

    bundle: Path
    run: str


@dataclass(frozen=True)
class Predictions:
    """Predictions for each evaluation image: class numbers `(n,)`, -1 without a champion. `classes` are the challenger's, then
    those that only the champion knows."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    targets: NDArray[np.int64]
    champion: NDArray[np.int64]
    challenger: NDArray[np.int64]
    confidence: NDArray[np.float64]
    """Of the challenger."""

    def encoded(self) -> bytes:
        """Encode as JSON lines, one per image."""

        def name(number: int) -> str | None:
            return None if number < 0 else self.classes[number]

        lines = (
            {
                **sample.record(),
                "champion": name(int(before)),
                "challenger": name(int(after)),
                "confidence": round(float(confidence), 4),
            }
            for sample, before, after, confidence in zip(
                self.samples, self.champion, self.challenger, self.confidence, strict=True
            )
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
    """
    s3 = S3Settings.of(experiment.storage)
    samples = verified(evaluated, experiment.data.uri, on_event, experiment.data.zip_encoding, s3)
    on_event(Message(f"Comparing on {len(samples)} frozen evaluation images"))
    classes, new = _probabilities(experiment, samples, challenger, scratch, on_event)
    targets = encode_targets(samples, classes)
    alone = _challenger_alone(samples, targets, new, experiment, challenger)
    if champion is None:
        return alone, _predictions(classes, samples, targets, None, new)
    old_classes, old = _probabilities(experiment, samples, champion, scratch, on_event)
    old = _align_classes(old, old_classes, classes)
    fresh = np.array([sample.digest not in trained_on for sample in samples])
    gate = experiment.retrain.gate
    comparison = replace(
        alone,
        same_weights=read_card(champion.bundle).digest == read_card(challenger.bundle).digest,
        champion_metrics=_metrics(targets, old),
        paired=paired(targets, old, _pad_classes(new, old), gate.metric, confidence=gate.confidence),
        slices=slices_of(classes, targets, old, new, fresh),
        champion_latency_ms=_latency_ms(experiment, champion),
        unknown=tuple(name for name in classes if name not in old_classes),
    )
    names = (*classes, *(name for name in old_classes if name not in classes))
    return comparison, _predictions(names, samples, targets, old, new)


def evaluation_id(samples: Sequence[Sample]) -> str:
    """Return the id of frozen evaluation images, from their keys, labels and bytes."""
    return snapshot_id(dataset_digest(samples))


def _challenger_alone(
    samples: Sequence[Sample],
    targets: NDArray[np.int64],
    new: NDArray[np.float64],
    experiment: Experiment,
    challenger: SavedModel,
) -> Comparison:
    return Comparison(
        evaluation=evaluation_id(samples), images=len(samples), looks=0, champion=None, challenger=0, same_weights=False,
        metrics=_metrics(targets, new), champion_metrics={}, paired=None, slices=(), latency_ms=_latency_ms(experiment, challenger),
        champion_latency_ms=None, size_bytes=(challenger.bundle / WEIGHTS).stat().st_size,
    )  # fmt: skip


def _probabilities(
    experiment: Experiment, samples: tuple[Sample, ...], model: SavedModel, scratch: Path, on_event: OnEvent
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    compute = experiment.compute
    shard = Shard(
        bundle=str(model.bundle.absolute()),
        samples=samples,
        device=compute.device,
        precision=experiment.train.precision,
        max_pixels=experiment.data.max_pixels,
        digest=read_card(model.bundle).digest,
        run=model.run,
        data=experiment.data.uri,
        s3=S3Settings.of(experiment.storage),
        zip_encoding=experiment.data.zip_encoding,
    )
    if compute.workers == 1:
        return probabilities(World.solo(), shard, on_event)
    return run_group(probabilities, shard, compute, scratch=scratch, on_event=on_event)


def _align_classes(
    table: NDArray[np.float64], old_classes: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return the champion's probabilities with a column for each of `classes` (zeros if unknown to it), then its other ones."""
    columns: Mapping[str, NDArray[np.float64]] = {name: table[:, place] for place, name in enumerate(old_classes)}
    others = [name for name in old_classes if name not in classes]
    return np.stack([columns.get(name, np.zeros(len(table))) for name in (*classes, *others)], axis=1)


def _pad_classes(table: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(table, ((0, 0), (0, other.shape[1] - table.shape[1])))


def _metrics(targets: NDArray[np.int64], table: NDArray[np.float64]) -> dict[str, float]:
    values = measure(facts(targets, table), np.arange(len(targets))[None])
    return {name: float(values[name][0]) for name in _SCORES}


def slices_of(
    classes: Sequence[str],
    targets: NDArray[np.int64],
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    fresh: NDArray[np.bool_],
) -> tuple[Slice, ...]:
    """Return the accuracy of both models (probabilities `(n, classes)`) on each class and on the `fresh` images."""
    before, after = old.argmax(1) == targets, new.argmax(1) == targets
    parts = [(name, targets == place, True) for place, name in enumerate(classes) if (targets == place).any()]
    if _MIN_NEW_IMAGES <= int(fresh.sum()) < len(fresh):
        parts.append((NEW_IMAGES, fresh, False))
    return tuple(_slice(name, before[rows], after[rows], is_class) for name, rows, is_class in parts)


def _slice(name: str, before: NDArray[np.bool_], after: NDArray[np.bool_], is_class: bool) -> Slice:
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return Slice(
        name, len(before), float(before.mean()), float(after.mean()), gained, lost, mcnemar(gained, lost)[1], is_class
    )


def _predictions(
    classes: tuple[str, ...],
    samples: tuple[Sample, ...],
    targets: NDArray[np.int64],
    old: NDArray[np.float64] | None,
    new: NDArray[np.float64],
) -> Predictions:
    before = np.full(len(targets), -1) if old is None else old.argmax(1)
    return Predictions(classes, samples, targets, before, new.argmax(1), new.max(1))


def _latency_ms(experiment: Experiment, model: SavedModel) -> float:
    """Return the milliseconds of one image through the network here: the minimum of 20 runs, as other load only adds."""
    module, card = load_bundle(model.bundle)
    device = pick_device(experiment.compute.device)
    precision = pick_precision(experiment.train.precision, device)
    module.to(device)
    image = torch.zeros(1, 3, card.preprocess.image_px, card.preprocess.image_px, dtype=torch.uint8)

    def predict() -> None:
        forward(module, image, card.preprocess, device, precision, is_channels_last(module)).cpu()

    timeit.repeat(predict, number=1, repeat=_WARMUP_RUNS)
    return 1000 * min(timeit.repeat(predict, number=1, repeat=_TIMED_RUNS))
