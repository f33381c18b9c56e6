"""An objective whose steps are prepared: with views of the labelled images, or with a selection of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from raytl.data.loader import Batch
from raytl.training.objectives.objective import LossSum, Network, StepObjective, Validated
from raytl.world import World

Prepare = Callable[[Network, Mapping[str, Batch]], Mapping[str, Batch]]
"""Returns the batches of a micro-batch's step, with what it adds."""


@dataclass(frozen=True)
class Prepared:
    """The objective `inner`, after `prepare`, which adds `numbers` to the record of an epoch."""

    inner: StepObjective
    prepare: Prepare
    numbers: Callable[[], Mapping[str, float]] = dict

    @property
    def state(self) -> nn.Module | None:
        """Return what `inner` owns."""
        return self.inner.state

    @property
    def validated(self) -> Validated | None:
        """Return what `inner` scores."""
        return self.inner.validated

    @property
    def needs_answers(self) -> bool:
        """Return whether `inner` asks for answers."""
        return self.inner.needs_answers

    @property
    def records(self) -> Mapping[str, float]:
        """Return the numbers of `inner`, and its own."""
        return {**self.inner.records, **self.numbers()}

    def normalizer(self, targets: Any) -> float | None:
        """Return the normalizer of `inner`."""
        return self.inner.normalizer(targets)

    def step(self, network: Network, batches: Mapping[str, Batch]) -> LossSum:
        """Return the loss of `inner`."""
        return self.inner.step(network, self.prepare(network, batches))

    def end_step(self, world: World, device: torch.device) -> None:
        """Update what `inner` owns."""
        self.inner.end_step(world, device)
