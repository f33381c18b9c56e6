"""One stage of training, set up: frozen to its depth, wrapped in DDP, with its own optimizer groups.

Each stage gets a new DDP wrapper, because DDP plans its buckets for the parameters that are trainable at that moment,
and a new optimizer; parameters that were trained before keep their optimizer state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from raytl.config.schema import Experiment
from raytl.models.backbone import Backbone
from raytl.models.freeze import apply_freeze, fingerprint
from raytl.models.groups import parameter_groups
from raytl.models.optimizer import build_optimizer
from raytl.training.checkpoint import optimizer_state, restore_optimizer
from raytl.training.compiled import compiled
from raytl.training.schedule import factor
from raytl.training.stages import TrainStage, opened_at
from raytl.world import World


@dataclass(frozen=True)
class Phase:
    """The setup of one stage of training; `opened` maps each group to the epoch in which it was
    unfrozen, `moving` lists the buffers that training updates."""

    stage: TrainStage
    backbone: Backbone
    model: nn.Module
    optimizer: Optimizer
    opened: Mapping[str, int]
    moving: tuple[str, ...]
    shape_from: int

    @property
    def module(self) -> nn.Module:
        """Return the network without its DDP wrapper."""
        return self.backbone.module

    @property
    def trainable(self) -> str:
        """Return the fingerprint of the trainable parameters."""
        return fingerprint(self.module)

    def parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def tracked_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that training updates, by name: trainable parameters and their buffers."""
        learning = {name: tensor for name, tensor in self.module.named_parameters() if tensor.requires_grad}
        return learning | self.moving_buffers()

    def moving_buffers(self) -> dict[str, Tensor]:
        """Return the buffers that training updates, by name: BatchNorm statistics of the unfrozen modules."""
        buffers = dict(self.module.named_buffers())
        return {name: buffers[name] for name in self.moving}

    def without_sync(self) -> contextlib.AbstractContextManager[None]:
        """Disable gradient synchronization in the context, for all but the last micro-batch of a step."""
        model = getattr(self.model, "_orig_mod", self.model)  # of torch.compile
        return model.no_sync() if isinstance(model, DistributedDataParallel) else contextlib.nullcontext()

    def set_rates(self, experiment: Experiment, *, step: int, total: int, steps: int) -> dict[str, float]:
        """Set the learning rates of global step `step` of `total`, with `steps` per epoch; return them by group."""
        rates: dict[str, float] = {}
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor(
                experiment.optim,
                step=step,
                total=total,
                steps_per_epoch=steps,
                shape_from=self.shape_from * steps,
                opened=self.opened[group["group"]] * steps,
            )
            rates[group["group"]] = group["lr"]
        return rates


def open_phase(
    backbone: Backbone,
    stage: TrainStage,
    stages: tuple[TrainStage, ...],
    experiment: Experiment,
    world: World,
    device: torch.device,
    before: Phase | None,
    objective: nn.Module | None = None,
) -> Phase:
    """Return the phase of `stage`; parameters that `before` trained keep their optimizer state.

    Those of `objective`, what the step's objective owns, learn at the head's rate.
    """
    apply_freeze(backbone, stage.depth)
    groups = parameter_groups(backbone, experiment.transfer, experiment.optim, stage.depth)
    groups += _objective_groups(objective, experiment)
    for group in groups:
        group["base_lr"] = group["lr"]
    optimizer = build_optimizer(groups, experiment.optim)
    if before is not None:
        restore_optimizer(optimizer, optimizer_state(before.optimizer))
    model = _wrap(backbone.module, world, device)
    levels = {name: level for level, name in enumerate(reversed([s.name for s in backbone.stages]), start=1)}
    return Phase(
        stage=stage,
        backbone=backbone,
        model=compiled(model) if experiment.train.compile else model,
        optimizer=optimizer,
        opened={group["group"]: opened_at(stages, levels.get(group["group"], 0)) for group in groups},
        moving=_updated_buffers(backbone.module),
        shape_from=opened_at(stages, 1) if stages[-1].depth else 0,
    )


def _objective_groups(objective: nn.Module | None, experiment: Experiment) -> list[dict[str, Any]]:
    """Return the optimizer groups of what the step's objective owns: its matrices, and vectors and numbers without weight
    decay; none if it has no parameters."""
    named = {} if objective is None else dict(objective.named_parameters(prefix="objective"))
    groups, rate = list[dict[str, Any]](), {"group": "objective", "lr": experiment.optim.lr}
    for decay, is_vector in ((experiment.optim.weight_decay, False), (0.0, True)):
        names = [name for name, parameter in named.items() if (parameter.ndim <= 1) == is_vector]
        if names:
            groups.append({"params": [named[name] for name in names], "names": names, **rate, "weight_decay": decay})
    return groups


def _updated_buffers(module: nn.Module) -> tuple[str, ...]:
    """Return the buffers of the modules in training mode: frozen modules stay in evaluation mode."""
    module.train()
    return tuple(
        f"{path}.{name}" if path else name
        for path, part in module.named_modules()
        if part.training
        for name, _ in part.named_buffers(recurse=False)
    )


def _wrap(module: nn.Module, world: World, device: torch.device) -> nn.Module:
    if world.size == 1:
        return module
    ids = [device.index] if device.type == "cuda" else None
    # Rank 0's buffers are broadcast before each validation instead of at every step: training does not read them.
    return DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True)
