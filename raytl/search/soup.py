"""A soup of the best trials: one model with the mean of their weights, often better than each (Wortsman et al. 2022).

All trials start from the same weights and the same solved head, so they and their mean lie in one basin of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from raytl.models.predict_score import predict_score_of
from raytl.models.saved_model import Card, save_model
from raytl.models.temperature import temperature_of
from raytl.run.folder import RunFolder
from raytl.search.record import TrialRecord
from raytl.tasks.saved import Saved, load_saved

Score = Callable[[nn.Module], float]
"""The validation score of a module; higher is better."""


@dataclass(frozen=True)
class Soup:
    """The averaged trials, the validation score, and the folder of the saved model."""

    trials: tuple[int, ...]
    score: float
    folder: str


def average_weights(
    kind: Literal["uniform", "greedy"], records: Sequence[TrialRecord], score: Score, folder: Path
) -> Soup | None:
    """Average the best checkpoints of `records` (best first, on disk), save the model in `folder` and return the soup.

    `uniform` averages all; `greedy` adds each in turn if the score does not fall. Trials of another network, or of other
    pretrained weights, than the best are left out. None with fewer than two checkpoints.
    """
    available = [record for record in records if RunFolder(Path(record.folder)).best.exists()]
    if len(available) < 2:
        return None
    saved = load_saved(RunFolder(Path(available[0].folder)).best)
    module = saved.module
    by_trial = {record.number: state for record in available if (state := _state(record, saved)) is not None}
    if len(by_trial) < 2:
        return None
    numbers, states = list(by_trial), list(by_trial.values())
    chosen = list(range(len(states)))
    if kind == "greedy":
        chosen = _greedy(module, states, score)
    module.load_state_dict(mean([states[i] for i in chosen]))
    value = score(module)  # before it is saved, as it sets what validation decides
    save_model(folder, module, _card(saved, module))
    return Soup(tuple(numbers[i] for i in chosen), value, str(folder))


def mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each floating-point tensor over `states`; other tensors, such as counters, are the first's."""
    first = states[0]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }


def _greedy(module: nn.Module, states: Sequence[Mapping[str, Tensor]], score: Score) -> list[int]:
    chosen = [0]
    module.load_state_dict(mean([states[0]]))
    best = score(module)
    for i in range(1, len(states)):
        module.load_state_dict(mean([states[j] for j in (*chosen, i)]))
        if (candidate := score(module)) >= best:
            chosen, best = [*chosen, i], candidate
    return chosen


def _card(saved: Saved, module: nn.Module) -> Card:
    """Return the card of the soup: that of its trials, with its own temperature and lowest score of objects if they have them."""
    card = saved.card
    return replace(
        card,
        temperature=None if card.temperature is None else temperature_of(module),
        predict_score=None if card.predict_score is None else predict_score_of(module),
    )


def _state(record: TrialRecord, best: Saved) -> dict[str, Tensor] | None:
    """Return the tensors of the trial's checkpoint; None if their mean with those of `best` is not a network."""
    saved = load_saved(RunFolder(Path(record.folder)).best)
    state = {name: tensor.clone() for name, tensor in saved.module.state_dict().items()}
    return state if _origin(saved) == _origin(best) else None


def _origin(saved: Saved) -> tuple[str, str, dict[str, torch.Size]]:
    """Return the architecture and the pretrained weights of a network, and the shapes of its tensors."""
    shapes = {name: tensor.shape for name, tensor in saved.module.state_dict().items()}
    return saved.card.model, saved.card.weights_digest, shapes
