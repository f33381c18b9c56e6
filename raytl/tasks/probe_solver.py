"""Solve a new head on the features of the frozen network before the first step (LP-FT, Kumar et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.cache import open_images
from raytl.data.loader import Batch, EvalLoader
from raytl.data.manifest import Sample
from raytl.events import OnEvent, Work, ignore
from raytl.models import probe
from raytl.models.backbone import Backbone
from raytl.models.forward import EVAL_BATCH, pick_precision
from raytl.store.s3_settings import S3Settings
from raytl.world import World


@dataclass(frozen=True)
class HeadInputs:
    """The samples of a split, and the inputs of the head's last layer for them, `features (n, d) float32`."""

    samples: Sequence[Sample]
    features: Tensor


SolveHead = Callable[[Experiment, HeadInputs, HeadInputs, Sequence[str], bool], probe.Probe]
"""From the experiment, train, val, the classes, and whether the layer has a bias, to the solved heads."""


@dataclass(frozen=True)
class ProbeSolver:
    """Solve the head as a linear probe, and fine-tune from it."""

    solve_head: SolveHead

    def solve(
        self,
        experiment: Experiment,
        backbone: Backbone,
        train: Sequence[Sample],
        val: Sequence[Sample],
        classes: Sequence[str],
        on_event: OnEvent = ignore,
    ) -> probe.Probe:
        """Solve the head of `backbone` on its device, from the evaluation views of `train`.

        The penalty strength is selected by the loss on `val`.
        """
        device = next(backbone.module.parameters()).device
        precision = pick_precision(experiment.train.precision, device)

        def inputs(samples: Sequence[Sample]) -> HeadInputs:
            batches = _with_progress(_loader(experiment, samples, backbone, device), len(samples), on_event)
            return HeadInputs(samples, probe.head_inputs(backbone, batches, device, precision))

        has_bias = probe.head_layer(backbone).bias is not None
        return self.solve_head(experiment, inputs(train), inputs(val), classes, has_bias)

    def scores(self, solved: probe.Probe) -> Mapping[str, float]:
        """Return the validation scores of the best head."""
        return solved.scores[solved.best.strength]

    def save(self, solved: probe.Probe, folder: Path) -> None:
        """Write the probe to `folder` atomically."""
        probe.save(solved, folder)

    def load(self, folder: Path) -> probe.Probe:
        """Return the probe in `folder`."""
        return probe.load(folder)

    def is_saved(self, folder: Path) -> bool:
        """Return True if `folder` holds a complete probe."""
        return (folder / probe.CARD).exists()

    def install(self, backbone: Backbone, solved: probe.Probe, depth: int) -> None:
        """Copy the best head into the network if only the head trains, else the soft one."""
        probe.install(backbone, solved.start(depth))


def _with_progress(batches: Iterable[Batch], total: int, on_event: OnEvent) -> Iterator[Batch]:
    """Yield `batches` and report progress."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.ids)
        on_event(Work("features for the head", done, total, "images"))


def _loader(experiment: Experiment, samples: Sequence[Sample], backbone: Backbone, device: torch.device) -> EvalLoader:
    images = open_images(samples, backbone.preprocess, experiment.data, s3=S3Settings.of(experiment.storage))
    return EvalLoader(images, backbone.preprocess, batch=EVAL_BATCH[device.type], world=World.solo())
