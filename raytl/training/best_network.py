"""The best network of a run once training ended, as what follows works on it: the same on all ranks, reported by one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from raytl.events import Event
from raytl.score_names import is_fraction, title
from raytl.training.collectives import broadcast_from_main
from raytl.training.steps import TrainContext

State = Mapping[str, Tensor]
"""The tensors of a network by name."""


def shared_state(context: TrainContext, state: State | None, like: nn.Module) -> State:
    """Return the main rank's `state` on every rank, on the device and in the layout of the module's own."""
    own = copied_state(like)
    if state is not None:
        for name, tensor in own.items():
            tensor.copy_(state[name])
    broadcast_from_main(context.world, list(own.values()), "network")
    return own


def copied_state(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the tensors of `module`."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def report(context: TrainContext, event: Event) -> None:
    """Emit `event` from the main rank, whose peers wait meanwhile."""
    context.world.status.progressed()
    if context.world.is_main:
        context.emit(event)


def score_text(name: str, metrics: Mapping[str, float]) -> str:
    """Return a score of validation with its name, for messages."""
    return f"{title(name.removeprefix('val/'))} {score_value(name, metrics)}"


def score_value(name: str, metrics: Mapping[str, float]) -> str:
    """Return a score of validation for messages, a fraction in percent."""
    return f"{100 * metrics[name]:.1f} %" if is_fraction(name) else f"{metrics[name]:.3f}"
