"""Advice without networks: features and their measurements that are at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from raytl.advice.candidates import Candidate
from raytl.advice.measure import measured
from raytl.advice.result import Advice, CandidateFit
from raytl.config.choice import Choice
from raytl.config.schema import Experiment
from raytl.labelling.suspect import SuspectLabel
from raytl.metrics.intervals import Interval
from raytl.metrics.learning_curve import LearningCurve
from raytl.metrics.paired import Paired

CLASSES = np.arange(3).repeat(20)
EXPERIMENT = Experiment.model_validate(
    {"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}, "transfer": {"unfreeze": "all"}}
)
CURVE = LearningCurve((10, 20, 40), (0.4, 0.3, 0.2), Interval(0.24, 0.17, 0.33), Interval(18.6, 8.2, 60.4))


def blobs(distance: float, seed: int = 0) -> torch.Tensor:
    """Return features of three classes, `(60, 16)`."""
    draw = torch.Generator().manual_seed(seed)
    return torch.eye(3, 16)[torch.from_numpy(CLASSES)] * distance + torch.randn(60, 16, generator=draw)


def fit(
    name: str, accuracy: float, parameters: int = 1000, gain: float | None = None, worse: bool = False
) -> CandidateFit:
    """Return the fit of a model with a probe of this accuracy, and what the best one gains over it."""
    behind = None if gain is None else Paired("a", 0.5, 0.6, gain, gain - 0.05, gain + 0.05, 0, 1, 2, 0.5, 0.5)
    probe = Interval(accuracy, accuracy - 0.05, accuracy + 0.05)
    return CandidateFit(Candidate(name, name), "d", parameters, 8, probe, probe, -0.3, 1.2, behind, worse)


def advice(**changes: Any) -> Advice:
    """Return the advice of two candidates of which the first is advised."""
    fits = (fit("big", 0.9), fit("small", 0.8, 500, 0.1, True))
    values: dict[str, Any] = {
        "experiment": EXPERIMENT,
        "classes": ("a", "b"),
        "train": 120,
        "images": 100,
        "fits": fits,
        "advised": fits[0].candidate,
        "recipe": (Choice("transfer.unfreeze", "all", "Few images: every stage learns."),),
        "curve": CURVE,
        "suspects": (SuspectLabel("a/1.jpg", "a", "b", 0.05, 0.9),),
        "unmeasured": ("latency",),
    }
    return Advice(**values | changes)


__all__ = ["CLASSES", "CURVE", "EXPERIMENT", "advice", "blobs", "fit", "measured"]
