"""A fair fight: champion and challenger scored by the same code on the same frozen images, whose bytes are checked first."""

from __future__ import annotations

import json
import timeit
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.cluster.worker_group import run_group
from raytl.config.schema import Experiment
from raytl.data.manifest import Sample, dataset_digest, snapshot_id
from raytl.data.targets import encode_targets
from raytl.evaluation.record import verified
from raytl.evaluation.worker import Shard, probabilities
from raytl.events import Message, OnEvent
from raytl.metrics.paired import mcnemar, paired
from raytl.metrics.scores import facts, measure
from raytl.models.bundle import load_bundle
from raytl.models.card import WEIGHTS, read_card
from raytl.models.forward import forward, is_channels_last, pick_device, pick_precision
from raytl.retrain.gate import Comparison, Slice
from raytl.store.s3_settings import S3Settings
from raytl.world import World

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
_WARM, _TIMED = 3, 20
_LEAST_NEW = 10
NEW_IMAGES = "new images"
EVALUATED = "evaluation.jsonl"
"""The frozen evaluation images of a tick, with what both models said of each."""


@dataclass(frozen=True)
class Side:
    """One of the two: the folder of its saved model, and the run or version that another node finds it in."""

    bundle: Path
    run: str


@dataclass(frozen=True)
class Rows:
    """What both said of each evaluation image: class numbers `(n,)`, -1 where there is no champion. `classes` are the
    challenger's, then those that only the champion knows."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    targets: NDArray[np.int64]
    champion: NDArray[np.int64]
    challenger: NDArray[np.int64]
    sure: NDArray[np.float64]
    """The challenger's confidence."""

    def encoded(self) -> bytes:
        """One image a line, as JSON, to be looked at later."""

        def name(number: int) -> str | None:
            return None if number < 0 else self.classes[number]

        lines = (
            {
                **sample.record(),
                "champion": name(int(before)),
                "challenger": name(int(after)),
                "confidence": round(float(sure), 4),
            }
            for sample, before, after, sure in zip(self.samples, self.champion, self.challenger, self.sure, strict=True)
        )
        return "".join(json.dumps(line) + "\n" for line in lines).encode()


def compare(
    experiment: Experiment,
    evaluated: Sequence[Sample],
    champion: Side | None,
    challenger: Side,
    known: Collection[str],
    scratch: Path,
    on_event: OnEvent,
) -> tuple[Comparison, Rows]:
    """Both models on the `evaluated` images; `known` are the digests of those that were there at the champion's training.

    Numbers of versions, looks and leaks are for the caller to fill in.

    Raises:
        DataError: an evaluation image has other bytes than were frozen.
    """
    samples = verified(
        evaluated, experiment.data.uri, on_event, experiment.data.zip_encoding, S3Settings.of(experiment.storage)
    )
    on_event(Message(f"comparing on {len(samples)} frozen evaluation images"))
    classes, new = _scored(experiment, samples, challenger, scratch, on_event)
    targets = encode_targets(samples, classes)
    fresh = np.array([sample.digest not in known for sample in samples])
    if champion is None:
        return _alone(samples, targets, new, experiment, challenger), _rows(classes, samples, targets, None, new)
    its, old = _scored(experiment, samples, champion, scratch, on_event)
    table = _in_order(old, its, classes)
    before, after = _timed(experiment, champion), _timed(experiment, challenger)
    contest = Comparison(
        evaluation=evaluation_id(samples),
        images=len(samples),
        looks=0,
        champion=None,
        challenger=0,
        same_weights=read_card(champion.bundle).digest == read_card(challenger.bundle).digest,
        metrics=_measured(targets, new),
        champion_metrics=_measured(targets, table),
        paired=paired(
            targets,
            table,
            _wide(new, table),
            experiment.retrain.gate.metric,
            confidence=experiment.retrain.gate.confidence,
        ),
        slices=slices_of(classes, targets, table, new, fresh),
        latency_ms=after,
        champion_latency_ms=before,
        size_bytes=(challenger.bundle / WEIGHTS).stat().st_size,
        unknown=tuple(name for name in classes if name not in its),
    )
    names = (*classes, *(name for name in its if name not in classes))
    return contest, _rows(names, samples, targets, table, new)


def evaluation_id(samples: Sequence[Sample]) -> str:
    """The name of frozen evaluation images: their keys, labels and bytes."""
    return snapshot_id(dataset_digest(samples))


def _alone(
    samples: Sequence[Sample], targets: NDArray[np.int64], new: NDArray[np.float64], experiment: Experiment, side: Side
) -> Comparison:
    return Comparison(
        evaluation=evaluation_id(samples), images=len(samples), looks=0, champion=None, challenger=0, same_weights=False,
        metrics=_measured(targets, new), champion_metrics={}, paired=None, slices=(), latency_ms=_timed(experiment, side),
        champion_latency_ms=None, size_bytes=(side.bundle / WEIGHTS).stat().st_size,
    )  # fmt: skip


def _scored(
    experiment: Experiment, samples: tuple[Sample, ...], side: Side, scratch: Path, on_event: OnEvent
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    compute = experiment.compute
    shard = Shard(
        bundle=str(side.bundle.absolute()),
        samples=samples,
        device=compute.device,
        precision=experiment.train.precision,
        max_pixels=experiment.data.max_pixels,
        digest=read_card(side.bundle).digest,
        run=side.run,
        data=experiment.data.uri,
        s3=S3Settings.of(experiment.storage),
        zip_encoding=experiment.data.zip_encoding,
    )
    if compute.workers == 1:
        return probabilities(World.solo(), shard, on_event)
    return run_group(probabilities, shard, compute, scratch=scratch, on_event=on_event)


def _in_order(table: NDArray[np.float64], its: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """The champion's probabilities with a column for each of `classes`, zeros where it knows none, its others behind."""
    columns: Mapping[str, NDArray[np.float64]] = {name: table[:, place] for place, name in enumerate(its)}
    others = [name for name in its if name not in classes]
    return np.stack([columns.get(name, np.zeros(len(table))) for name in (*classes, *others)], axis=1)


def _wide(table: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(table, ((0, 0), (0, other.shape[1] - table.shape[1])))


def _measured(targets: NDArray[np.int64], table: NDArray[np.float64]) -> dict[str, float]:
    measured = measure(facts(targets, table), np.arange(len(targets))[None])
    return {name: float(measured[name][0]) for name in _SCORES}


def slices_of(
    classes: Sequence[str],
    targets: NDArray[np.int64],
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    fresh: NDArray[np.bool_],
) -> tuple[Slice, ...]:
    """The classes, and the `fresh` images, with what both models (probabilities `(n, classes)`) have right of them."""
    before, after = old.argmax(1) == targets, new.argmax(1) == targets
    parts = [(name, targets == place, True) for place, name in enumerate(classes) if (targets == place).any()]
    if _LEAST_NEW <= int(fresh.sum()) < len(fresh):
        parts.append((NEW_IMAGES, fresh, False))
    return tuple(_slice(name, before[rows], after[rows], is_class) for name, rows, is_class in parts)


def _slice(name: str, before: NDArray[np.bool_], after: NDArray[np.bool_], is_class: bool) -> Slice:
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return Slice(
        name, len(before), float(before.mean()), float(after.mean()), gained, lost, mcnemar(gained, lost)[1], is_class
    )


def _rows(
    classes: tuple[str, ...],
    samples: tuple[Sample, ...],
    targets: NDArray[np.int64],
    old: NDArray[np.float64] | None,
    new: NDArray[np.float64],
) -> Rows:
    before = np.full(len(targets), -1) if old is None else old.argmax(1)
    return Rows(classes, samples, targets, before, new.argmax(1), new.max(1))


def _timed(experiment: Experiment, side: Side) -> float:
    """Milliseconds of one image through the network on this machine: the quickest, as other work only adds to it."""
    module, card = load_bundle(side.bundle)
    device = pick_device(experiment.compute.device)
    precision = pick_precision(experiment.train.precision, device)
    module.to(device)
    image = torch.zeros(1, 3, card.preprocess.image_px, card.preprocess.image_px, dtype=torch.uint8)

    def once() -> None:
        forward(module, image, card.preprocess, device, precision, is_channels_last(module)).cpu()

    timeit.repeat(once, number=1, repeat=_WARM)
    return 1000 * min(timeit.repeat(once, number=1, repeat=_TIMED))
