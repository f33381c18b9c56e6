"""The loss of the labels and the terms of methods, on outputs of one forward pass over the images of all sources.

One pass, so that BatchNorm sees all sources together, and DDP reduces gradients once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from raytl.data.loader import Batch
from raytl.models.backbone import Backbone
from raytl.models.probe import averaged, head_layer
from raytl.tasks.task import Objective
from raytl.training.objectives.objective import LABELLED, LossSum, Network, Validated
from raytl.world import World


@dataclass(frozen=True)
class Outputs:
    """The outputs of the network for each view in one pass, by name: `logits (b, classes)` and `features (b, d)`, float32; and the
    `answers (b, classes)`, logits without gradients, to views that terms ask it about.

    `ids (b,)`, on the host, are those of the labelled images (`Batch.ids`): their places among the training images, as label
    methods leave them, which made images follow. `train.sampler: balanced` repeats ids, also within a batch. Of a mixed image it
    is that of one of the two.
    """

    logits: Mapping[str, Tensor]
    features: Mapping[str, Tensor]
    answers: Mapping[str, Tensor]
    ids: Tensor = field(default_factory=partial(torch.empty, 0, dtype=torch.int64))


class Term(Protocol):
    """A term that a method adds to the loss of the labels."""

    @property
    def views(self) -> Sequence[str]:
        """Return the views that pass through the network with the labelled images."""
        ...

    @property
    def requested(self) -> Sequence[str]:
        """Return the views that the network answers before, without gradients."""
        ...

    @property
    def state(self) -> nn.Module | None:
        """Return what it owns, the same on all ranks; None if nothing."""
        ...

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Return the micro-batch's part of the mean over the global batch: `()`."""
        ...

    def end_step(self, world: World, device: torch.device) -> None:
        """Update what it owns after the optimizer's step, the same on all ranks."""
        ...


class FeatureTap:
    """The inputs of the last layer of the network's head: of the last pass with gradients, and of the last one without, for each
    thread that answers.

    Raises:
        ModelError: the head has no linear layer.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.last: Tensor | None = None
        self._answered = threading.local()
        self._layer = head_layer(backbone)
        self._layer.register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled():
            self.last = inputs[0]
        else:
            self._answered.inputs = inputs[0]

    def answered(self) -> Tensor:
        """Return those of this thread's last pass without gradients, `(b, d) float32`."""
        return averaged(self._layer, self._answered.inputs)

    def take(self) -> Tensor:
        """Return those of the last pass with gradients, `(b, d) float32`, and forget them."""
        assert self.last is not None, "the head was called"
        features, self.last = averaged(self._layer, self.last), None
        return features


@dataclass(frozen=True)
class Joint:
    """The loss `labels` of the labelled images, and the `terms`; without a `tap`, these see no features."""

    labels: Objective
    terms: Mapping[str, Term]
    tap: FeatureTap | None
    state: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    validated: Validated | None = None
    records: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, labels: Objective, terms: Mapping[str, Term], tap: FeatureTap | None, validated: Validated | None = None
    ) -> Joint:
        """Return the objective whose state is that of the terms, by name."""
        owned = {name: term.state for name, term in terms.items() if term.state is not None}
        return cls(labels, terms, tap, nn.ModuleDict(owned), validated)

    @property
    def needs_answers(self) -> bool:
        """Return whether a term asks the network."""
        return any(term.requested for term in self.terms.values())

    def normalizer(self, targets: Any) -> float | None:
        """Return the normalizer of `labels`."""
        return self.labels.normalizer(targets)

    def step(self, network: Network, batches: Mapping[str, Batch]) -> LossSum:
        """Return the loss of the labels, and the sum of the terms."""
        views = dict.fromkeys(view for term in self.terms.values() for view in term.views)
        others = {view: network.inputs(batches[view]) for view in views}
        requested = dict.fromkeys(view for term in self.terms.values() for view in term.requested)
        # before the pass with gradients: the averaged weights take the place of the network's own meanwhile
        inputs = {view: network.inputs(batches[view]) for view in requested}
        answers = {view: network.answers(images) for view, images in inputs.items() if len(images)}
        outputs: list[Outputs] = []

        def together(own: Tensor) -> Tensor:
            logits: Tensor = network(torch.cat([own, *others.values()]))
            sizes, names = [len(own), *map(len, others.values())], [LABELLED, *others]
            parts = logits.split(sizes)
            floats = [part.float() for part in parts]
            logits_of = dict(zip(names, floats, strict=True))
            features_of = {} if self.tap is None else dict(zip(names, self.tap.take().split(sizes), strict=True))
            none = floats[0].new_empty((0, *logits.shape[1:]))
            answered = {view: answers.get(view, none) for view in requested}
            outputs.append(Outputs(logits_of, features_of, answered, batch.ids))
            own_logits: Tensor = parts[0]
            return own_logits

        batch = batches[LABELLED]
        labelled = self.labels(together, network.inputs(batch), batch.targets, batch.ids)
        added = [term.loss(outputs[-1], network) for term in self.terms.values()]
        return LossSum(labelled, torch.stack(added).sum())

    def end_step(self, world: World, device: torch.device) -> None:
        """Update what the terms own."""
        for term in self.terms.values():
            term.end_step(world, device)
