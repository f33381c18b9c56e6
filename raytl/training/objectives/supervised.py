"""The simplest objective: the task's loss of the labelled images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from raytl.data.loader import Batch
from raytl.tasks.task import Objective
from raytl.training.objectives.objective import LABELLED, LossSum, Network
from raytl.world import World


@dataclass(frozen=True)
class Supervised:
    """The loss `labels` of the labelled images."""

    labels: Objective
    state: None = None
    validated: None = None
    needs_answers: bool = False
    records: Mapping[str, float] = field(default_factory=dict)

    def normalizer(self, targets: Any) -> float | None:
        """Return the normalizer of `labels`."""
        return self.labels.normalizer(targets)

    def step(self, network: Network, batches: Mapping[str, Batch]) -> LossSum:
        """Return the loss of the labels."""
        batch = batches[LABELLED]
        return LossSum(self.labels(network, network.inputs(batch), batch.targets, batch.ids))

    def end_step(self, world: World, device: torch.device) -> None:
        """Do nothing: it owns nothing."""
