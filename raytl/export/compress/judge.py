"""Judge bundles on the validation images of a run, beside the run's own model: the gate of `raytl compress`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.bundle.client import Model, Pixels
from raytl.bundle.opening import open_bundle
from raytl.data.manifest import Sample
from raytl.evaluation.evaluate import split_shard
from raytl.evaluation.worker import score_shard
from raytl.events import OnEvent, Work
from raytl.export.compress.outcome import Verdict
from raytl.export.trained_run import TrainedRun
from raytl.metrics.paired import paired
from raytl.world import World

METRIC = "accuracy"
_LEAST_AGREEMENT, _MOST_DIFFERENCE = 0.999, 1e-3
_BATCH = 16
Probabilities = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judge:
    """The validation images of a run, their classes `(n,)`, and the probabilities of the run's model `(n, classes)`."""

    run: TrainedRun
    samples: Sequence[Sample]
    targets: NDArray[np.int64]
    reference: Probabilities
    on_event: OnEvent

    @classmethod
    def of(cls, run: TrainedRun, on_event: OnEvent) -> Judge:
        """Return the judge of a run, whose model answers for its validation images.

        Raises:
            RunError: the run has none.
            DataError: images changed or are missing.
        """
        samples = run.present("val", on_event)
        shard = split_shard(run.run_store, run.recipe, run.machine, run.card, samples)
        logits = score_shard(World.solo(), shard, on_event)[0] / (run.card.temperature or 1.0)
        place = {name: i for i, name in enumerate(run.card.classes)}
        targets = np.array([place[sample.label] for sample in samples], np.int64)
        return cls(run, samples, targets, _softmax(logits), on_event)

    def verdict(self, bundle: Path, max_drop: float, is_same: bool) -> Verdict:
        """Return the judgement of a bundle. One that `is_same`, the same network in fp32, must answer the same; of others, a
        loss of more than `max_drop` points must be excluded at 95 % confidence."""
        answers = self._answers(open_bundle(bundle).model, bundle.name)
        return verdict_of(self.targets, self.reference, answers, max_drop, is_same)

    def _answers(self, model: Model, name: str) -> Probabilities:
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(self.samples), _BATCH):
            photos: list[Pixels] = [self.run.decode(each.path) for each in self.samples[start : start + _BATCH]]
            rows += [outputs["probabilities"][0] for outputs in model.outputs(photos)]
            self.on_event(Work(f"judging {name.strip('.').partition('.')[0]}", len(rows), len(self.samples)))
        return np.array(rows, np.float64)


def verdict_of(
    targets: NDArray[np.int64], reference: Probabilities, answers: Probabilities, max_drop: float, is_same: bool
) -> Verdict:
    """Return the verdict on probabilities `(n, classes)` beside those of the saved model; see `Judge.verdict`."""
    agreement = float((answers.argmax(1) == reference.argmax(1)).mean())
    result = paired(targets, reference, answers, METRIC)
    reason = _changed(agreement, answers, reference) if is_same else _lost(result.least, max_drop, len(targets))
    return Verdict(METRIC, result.after, result.before, result.least, agreement, len(targets), reason)


def _changed(agreement: float, answers: Probabilities, reference: Probabilities) -> str:
    difference = float(np.abs(answers - reference).max())
    if agreement >= _LEAST_AGREEMENT and difference <= _MOST_DIFFERENCE:
        return ""
    return (
        f"answers differ from those of the saved model: {100 * agreement:.2f} % agree (at least {100 * _LEAST_AGREEMENT:.1f} %), "
        f"and probabilities differ by {difference:.2g} (at most {_MOST_DIFFERENCE:g})"
    )


def _lost(least: float, max_drop: float, images: int) -> str:
    if 100 * least >= -max_drop:
        return ""
    return f"{images} validation images cannot exclude a loss of {-100 * least:.1f} points (allowed: {max_drop:g})"


def _softmax(logits: NDArray[np.float32]) -> Probabilities:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: Probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return result
