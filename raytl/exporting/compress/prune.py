"""Remove the channels with the smallest weights from a trained network, as the start of a student that is retrained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raytl.errors import ModelError, UserError, first_line
from raytl.events import Message, OnEvent
from raytl.exporting.quiet import quiet
from raytl.models.card import saved_model_directory
from raytl.models.pruned import fit_channels
from raytl.models.saved_model import save_model
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.saved import Saved

FRACTION = 0.3
"""The fraction of the channels of each layer that is removed, if none is given."""
FRACTION_LIMIT = 0.9
_STEP = 8
"""The channels that remain are a multiple of this, which runtimes compute with vector instructions."""


def check_fractions(fractions: Sequence[float]) -> None:
    """Check that networks can be pruned by `fractions` here.

    Raises:
        UserError: a fraction is out of bounds, or there twice.
        ModelError: torch-pruning is not installed.
    """
    if wrong := [fraction for fraction in fractions if not 0 < fraction <= FRACTION_LIMIT]:
        raise UserError(
            f"--prune-fraction {wrong[0]:g}: expected more than 0 and at most {FRACTION_LIMIT:g} of the channels"
        )
    names = [f"{fraction:g}" for fraction in fractions]
    if len(set(names)) < len(names):
        raise UserError(f"--prune-fraction {', '.join(names)}: expected each fraction once")
    if find_spec("torch_pruning") is None:
        raise ModelError("torch-pruning is not installed; run `pip install 'raytl[openvino]'`")


def write_pruned(saved: Saved, fraction: float, folder: Path, on_event: OnEvent) -> Path:
    """Write the saved model without `fraction` of the channels of each layer into `folder`, unless it is there; return `folder`.

    Raises:
        ModelError: the network cannot be pruned.
    """
    if saved_model_directory(folder) is not None:
        return folder
    module = pruned(saved, fraction)
    before, after = (sum(each.numel() for each in part.parameters()) for part in (saved.module, module))
    on_event(Message(f"prune {fraction:g}: {after:,} of {before:,} parameters of {saved.card.model} remain"))
    remain = (1 - fraction) * (1 - (saved.card.pruned or 0.0))
    save_model(folder, module, replace(saved.card, pruned=round(1 - remain, 6)))
    return folder


def pruned(saved: Saved, fraction: float) -> nn.Module:
    """Return a copy of the network without `fraction` of the channels of each layer: those whose weights, in all layers that
    share them, have the smallest norm (Fang et al. 2023, DepGraph). The outputs of the head stay.

    Raises:
        ModelError: its layers do not allow that.
    """
    module: nn.Module = copy.deepcopy(saved.module)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    preprocess = saved.card.preprocess
    views = torch.zeros(1, preprocess.channels, *preprocess.view_size)
    outputs = [
        part
        for path, part in module.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d) and f"{path}.weight" in saved.backbone.head
    ]
    try:
        with quiet(), torch.enable_grad():
            _remove_channels(module, views, outputs, fraction)
        _check_rebuilt(saved, module, views)
    except Exception as error:  # torch-pruning raises errors of many kinds
        raise ModelError(
            f"{saved.card.model} cannot be pruned by {fraction:g}: {first_line(error)[:200]}; expected a network of convolutions, "
            "whose channels can be removed. Leave prune out of --methods"
        ) from error
    return module


def _remove_channels(module: nn.Module, views: Tensor, outputs: Sequence[nn.Module], fraction: float) -> None:
    import torch_pruning

    layers = [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    torch_pruning.pruner.BasePruner(
        module,
        views,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=False,  # the same fraction of each layer
        pruning_ratio=fraction,
        pruning_ratio_dict={part: _ratio(part, fraction) for part in layers},
        ignored_layers=list(outputs),
        in_channel_groups={},  # the defaults are dictionaries that all pruners would share
        out_channel_groups={},
        num_heads={},
    ).step()


def _ratio(layer: nn.Linear | nn.Conv2d, fraction: float) -> float:
    """Return the ratio by which torch-pruning leaves `remaining` of the outputs of `layer`: it truncates what remains."""
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    left = remaining(outputs, fraction)
    return 0.0 if left == outputs else 1 - (left + 0.5) / outputs


def remaining(channels: int, fraction: float) -> int:
    """Return how many of `channels` remain without `fraction` of them: the nearest multiple of 8, and at least 8 of them.

    torch-pruning's own rounding is down: it would take a layer of 8 channels away.
    """
    return min(channels, max(_STEP, _STEP * round(channels * (1 - fraction) / _STEP)))


def _check_rebuilt(saved: Saved, module: nn.Module, views: Tensor) -> None:
    """Check that the pruned network is smaller, and that a new one with its tensors answers as it does.

    Raises:
        ValueError: it is not, or does not.
    """
    state = module.state_dict()
    if all(tensor.shape == state[name].shape for name, tensor in saved.module.state_dict().items()):
        raise ValueError(f"no layer has so many channels that {_STEP} can be removed")
    with torch.random.fork_rng(devices=[]):
        again = saved.task.build(saved.card.config, saved.card.classes, ENVIRONMENT).module.eval()
        images = torch.randn_like(views)
    fit_channels(again, state)
    again.load_state_dict(state)
    with torch.inference_mode():
        expected, answers = module(images), again(images)
    if answers.shape != (1, len(saved.card.classes)) or not torch.allclose(
        answers, expected, rtol=1e-4, atol=1e-4, equal_nan=True
    ):
        raise ValueError("the network cannot be rebuilt from its tensors")


def retraining(start: Path) -> dict[str, Any]:
    """Return the changes of a recipe that continues from the pruned model in `start`: all stages learn, at the rate of the top
    one, as each lost channels."""
    return {
        "model.weights": str(start),
        "model.batch_norm": "train",
        "transfer.head_start": "weights",
        "transfer.head_first": 0,
        "transfer.unfreeze": "all",
        "transfer.lr_decay": 1.0,
        "transfer.gradual": False,
    }
