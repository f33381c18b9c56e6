"""The saved model: tensors as safetensors and the card as JSON; loading it runs no code and downloads nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import nn

from raytl.config.schema import ModelConfig
from raytl.errors import ModelError
from raytl.events import OnEvent, ignore
from raytl.models import weights
from raytl.models.backbone import Backbone, build, is_convolutional
from raytl.models.card import CARD, WEIGHTS, Card, read_card, saved_model_directory
from raytl.models.predict_score import set_predict_score
from raytl.models.pruned import check_answers, fit_channels
from raytl.models.temperature import set_temperature
from raytl.run.atomic import write_bytes, write_json

__all__ = ["Card", "digest", "load_model", "read_card", "save_model", "saved_model_directory"]


def save_model(directory: str | Path, module: nn.Module, card: Card) -> Card:
    """Write `model.safetensors`, then `model.json`, into `directory`; return the card with the digest of the tensors."""
    # Clone, because safetensors rejects tensors that share memory.
    state = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in module.state_dict().items()
    }
    whole = replace(card, digest=weights.state_digest(state))
    folder = Path(directory)
    write_bytes(folder / WEIGHTS, save(state, metadata={"raytl": json.dumps(whole.to_json())}))
    write_json(folder / CARD, whole.to_json())
    return whole


Builder = Callable[[ModelConfig, tuple[str, ...]], Backbone]
"""Return the network of a configuration for these classes, without loading weights."""


def classifier(config: ModelConfig, classes: tuple[str, ...]) -> Backbone:
    """Return a network with one output for each class of an image."""
    return build(config, len(classes))


def load_model(
    directory: str | Path, on_event: OnEvent = ignore, builder: Builder = classifier
) -> tuple[nn.Module, Card]:
    """Return the module in evaluation mode on the CPU (channels-last if it is convolutional), and its card.

    `directory` is a saved model, or a run folder, of which the best checkpoint is loaded. `builder` builds the network of its task.

    Raises:
        ModelError: there is no saved model, or its tensors do not match the digest in the card or each other.
    """
    folder = saved_model_directory(directory) or Path(directory)
    card = read_card(folder, on_event)
    state = _tensors(folder)
    if weights.state_digest(state) != card.digest:
        raise ModelError(f"{folder / WEIGHTS} does not match the digest in {CARD}; copy both files again")
    with torch.random.fork_rng(devices=[]):
        built = builder(card.config, card.classes)
    module = built.module
    if card.pruned is not None:
        fit_channels(module, state, built.head)
    try:
        module.load_state_dict(state)
    except RuntimeError as exc:
        raise ModelError(f"{folder} does not fit {card.model} as this version builds it: {exc}") from exc
    if card.pruned is not None:
        check_answers(module, card.preprocess, len(card.classes), str(folder))
    if is_convolutional(module):
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_temperature(module, card.temperature)
    set_predict_score(module, card.predict_score)
    return module.eval(), card


def digest(directory: str | Path) -> str:
    """Return the sha256 hex digest of the tensors of the saved model (or run) in `directory`.

    Raises:
        ModelError: there is no saved model.
    """
    return weights.state_digest(_tensors(saved_model_directory(directory) or Path(directory)))


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(folder / WEIGHTS)
    except Exception as exc:  # safetensors raises its own error, OSError or builtins, depending on the version
        raise ModelError(f"{folder / WEIGHTS} cannot be read ({exc}); expected a saved model") from exc
