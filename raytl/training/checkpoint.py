"""The state of training on disk, as tensors (safetensors) and JSON: nothing in it runs code when loaded.

`checkpoints/last` is what an interrupted run goes on from; it is replaced as a whole folder, so there is
always exactly one whole one. Schedules, stages and sample order are pure functions of the plan and are
not saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from raytl.errors import RunError
from raytl.models.tensors import save_tensors
from raytl.run import journal
from raytl.run.atomic import settle_dir, whole_dir, write_bytes, write_json
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder
from raytl.run.plain import encode
from raytl.stored import Format
from raytl.stored.bounds import Bound, Count, Name, Score
from raytl.training.records import Epochs, Metrics

_FORMAT = 1
_SEPARATOR = "::"
_SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
_DAMAGE = (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError)


@dataclass(frozen=True, slots=True)
class Best:
    """The best epoch so far (zero-based) and its metrics."""

    epoch: Epochs
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training has come: `step` steps of epoch `epoch` (zero-based) are done.

    `loss_sum` and `seen` are of the epoch in progress, over all workers; `seconds` is what it took so far.
    `trainable` is the fingerprint of what learnt, checked on resume.
    """

    epoch: Epochs = 0
    step: Count = 0
    best: Best | None = None
    trainable: Name = ""
    loss_sum: Score = 0.0
    seen: Count = 0
    seconds: float = 0.0
    stopped: bool = False


def _is_scaler(state: Mapping[str, Any]) -> bool:
    """Return whether `state` is GradScaler's, or that of a disabled one."""
    return not state or state.keys() >= _SCALER


@dataclass(frozen=True, slots=True)
class State:
    """What a checkpoint has beside its tensors: how far training came, and the scalars of the optimizer and the scaler."""

    format: Literal[1]
    progress: Progress
    optimizer: dict[str, dict[str, int | float | str | bool | None]]
    scaler: Annotated[dict[str, int | float], Bound(f"nothing, or {', '.join(sorted(_SCALER))}", _is_scaler)]


STATE_FORMAT = Format[State](
    State,
    "the state of a checkpoint",
    "This checkpoint is damaged.\n  Run the same command with --new to start over; the old run is kept aside.",
    max_bytes=16 << 20,
)


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint in memory; `optimizer` maps parameter names to their state."""

    progress: Progress
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, dict[str, Any]]
    scaler: dict[str, Any]


def optimizer_state(optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """The optimizer's state by parameter name; its groups carry `names` beside `params`."""
    return {
        name: optimizer.state[parameter]
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        if parameter in optimizer.state
    }


def restore_optimizer(optimizer: Optimizer, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Give every parameter that `states` names its state; the others start afresh."""
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            if name in states:
                optimizer.state[parameter] = {
                    key: _placed(value, parameter) if isinstance(value, Tensor) else value
                    for key, value in states[name].items()
                }


def _placed(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A state tensor beside its parameter, in its memory layout: fused optimizers read both by address.

    Scalars (step counts) stay where torch keeps them, on the CPU.
    """
    if value.shape != parameter.shape:
        return value if value.ndim == 0 else value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `folder` in the place of the one before it."""
    tensors, scalars = _flatten(checkpoint.optimizer)
    state = {
        "format": _FORMAT,
        "progress": asdict(checkpoint.progress),
        "optimizer": scalars,
        "scaler": checkpoint.scaler,
    }
    with whole_dir(folder) as temporary:
        save_tensors(checkpoint.model, temporary / "model.safetensors")
        save_tensors(checkpoint.average, temporary / "average.safetensors")
        save_tensors(tensors, temporary / "optimizer.safetensors")
        write_json(temporary / "state.json", state)


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint in `folder`, None where there is none.

    Raises:
        RunError: what is there is damaged.
    """
    settle_dir(folder)
    if not folder.exists():
        return None
    try:
        state = STATE_FORMAT.load(folder / "state.json")
        return Checkpoint(
            progress=state.progress,
            model=load_file(folder / "model.safetensors"),
            average=load_file(folder / "average.safetensors"),
            optimizer=_unflatten(load_file(folder / "optimizer.safetensors"), state.optimizer),
            scaler=state.scaler,
        )
    except _DAMAGE as exc:
        raise _damaged(folder, exc) from exc


def progress_of(folder: Path) -> Progress | None:
    """How far the run had come at its last checkpoint, without reading tensors; None where there is none."""
    path = folder / "state.json"
    if not path.exists():
        return None
    return STATE_FORMAT.load(path).progress


def _damaged(folder: Path, exc: Exception) -> RunError:
    return RunError(
        f"{folder}: this checkpoint is damaged ({type(exc).__name__}: {exc}).\n"
        "  Run the same command with --new to start over; the old run is kept aside."
    )


def forget_after(folder: RunFolder) -> None:
    """Drop the metrics of epochs that will be trained again."""
    settle_dir(folder.last)
    progress = progress_of(folder.last)
    done = progress.epoch if progress else 0
    kept = [record for record in journal.read(folder.metrics, EPOCH_FORMAT) if record["epoch"] <= done]
    if folder.metrics.exists():
        write_bytes(folder.metrics, b"".join(encode(record) + b"\n" for record in kept))


def _flatten(states: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    tensors = {
        f"{name}{_SEPARATOR}{key}": value
        for name, state in states.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }
    scalars = {
        name: {key: value for key, value in state.items() if not isinstance(value, Tensor)}
        for name, state in states.items()
    }
    return tensors, scalars


def _unflatten(tensors: Mapping[str, Tensor], scalars: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {name: dict(values) for name, values in scalars.items()}
    for path, tensor in tensors.items():
        name, key = path.split(_SEPARATOR)
        states.setdefault(name, {})[key] = tensor
    return states
