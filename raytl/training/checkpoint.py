"""The state of training on disk, as tensors (safetensors) and JSON: loading it runs no code.

An interrupted run resumes from `checkpoints/last`, which is replaced atomically as a folder, so that exactly one
complete checkpoint exists. Schedules, stages and sample order are pure functions of the plan and are not saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
from raytl.run.atomic import atomic_dir, recover_dir, write_bytes, write_json
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder
from raytl.run.plain import encode
from raytl.stored import Format
from raytl.stored.bounds import Bound, Count, Name, Score
from raytl.training.records import Epochs, Metrics

_FORMAT = 1
_SEPARATOR = "::"
_OBJECTIVE = "objective.safetensors"
_GROUP_STEP = "group step"
"""The key, in the state of a parameter, of the steps that optimizers such as Adan and LAMB count once for its group."""
_SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
_DAMAGE = (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError)


@dataclass(frozen=True, slots=True)
class Best:
    """The best epoch so far (zero-based) and its metrics."""

    epoch: Epochs
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of training: `step` steps of epoch `epoch` (zero-based) are done.

    `loss_sum`, `seen` and `seconds` are of the current epoch, over all workers. `trainable` is the fingerprint of the
    trainable parameters, checked on resume.
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
    """Return True for the state of a GradScaler, or of a disabled one."""
    return not state or state.keys() >= _SCALER


@dataclass(frozen=True, slots=True)
class State:
    """The scalars of a checkpoint: the progress of training, and the scalars of the optimizer and the scaler."""

    format: Literal[1]
    progress: Progress
    optimizer: dict[str, dict[str, int | float | str | bool | None]]
    scaler: Annotated[dict[str, int | float], Bound(f"nothing, or {', '.join(sorted(_SCALER))}", _is_scaler)]


STATE_FORMAT = Format[State](
    State,
    "the state of a checkpoint",
    "This checkpoint is damaged.\n  Run the same command with --new to start over; the old run is renamed, not deleted.",
    max_bytes=16 << 20,
)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint in memory; `optimizer` maps parameter names to their state."""

    progress: Progress
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, dict[str, Any]]
    scaler: dict[str, Any]
    objective: dict[str, Tensor] = field(default_factory=dict)
    """The state of what the step's objective owns; empty for supervised training."""


def optimizer_state(optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """Return the optimizer state by parameter name; its groups have `names` beside `params`."""
    return {
        name: {**optimizer.state[parameter], **({_GROUP_STEP: group["step"]} if "step" in group else {})}
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        if parameter in optimizer.state
    }


def restore_optimizer(optimizer: Optimizer, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Restore the state of every parameter in `states`; the others start fresh."""
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            if name in states:
                is_fused = bool(group.get("fused"))
                state = {
                    key: _placed(value, parameter, is_fused) if isinstance(value, Tensor) else value
                    for key, value in states[name].items()
                }
                if _GROUP_STEP in state:
                    group["step"] = state.pop(_GROUP_STEP)
                optimizer.state[parameter] = state


def _placed(value: Tensor, parameter: nn.Parameter, is_fused: bool) -> Tensor:
    """Return a state tensor on the device and in the memory layout of its parameter, which fused optimizers rely on.

    Scalars (step counts) are on the device if the optimizer is fused, else on the CPU, as in torch.
    """
    if value.shape != parameter.shape:
        return value if value.ndim == 0 and not is_fused else value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `folder`, replacing the previous one."""
    tensors, scalars = _flatten(checkpoint.optimizer)
    state = {
        "format": _FORMAT,
        "progress": asdict(checkpoint.progress),
        "optimizer": scalars,
        "scaler": checkpoint.scaler,
    }
    with atomic_dir(folder) as temporary:
        save_tensors(checkpoint.model, temporary / "model.safetensors")
        save_tensors(checkpoint.average, temporary / "average.safetensors")
        save_tensors(tensors, temporary / "optimizer.safetensors")
        if checkpoint.objective:
            save_tensors(checkpoint.objective, temporary / _OBJECTIVE)
        write_json(temporary / "state.json", state)


def load(folder: Path) -> Checkpoint | None:
    """Return the checkpoint in `folder`, or None if there is none.

    Raises:
        RunError: the checkpoint is damaged.
    """
    recover_dir(folder)
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
            objective=load_file(folder / _OBJECTIVE) if (folder / _OBJECTIVE).exists() else {},
        )
    except _DAMAGE as exc:
        raise _damaged(folder, exc) from exc


def read_progress(folder: Path) -> Progress | None:
    """Return the progress at the last checkpoint, without reading tensors; None if there is none."""
    path = folder / "state.json"
    if not path.exists():
        return None
    return STATE_FORMAT.load(path).progress


def _damaged(folder: Path, exc: Exception) -> RunError:
    return RunError(
        f"{folder}: this checkpoint is damaged ({type(exc).__name__}: {exc}).\n"
        "  Run the same command with --new to start over; the old run is renamed, not deleted."
    )


def drop_later_metrics(folder: RunFolder) -> None:
    """Remove the metrics of epochs after the last checkpoint, which will be trained again."""
    recover_dir(folder.last)
    progress = read_progress(folder.last)
    done = progress.epoch if progress else 0
    records = [record for record in journal.read(folder.metrics, EPOCH_FORMAT) if record["epoch"] <= done]
    if folder.metrics.exists():
        write_bytes(folder.metrics, b"".join(encode(record) + b"\n" for record in records))


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
