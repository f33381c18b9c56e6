"""The temperature of a network's answers: its logits are divided by it where it answers, never where it learns.

It is in the card of a saved model and, once loaded, an attribute of the module itself: a wrapper of the module does not have
it. A model without one has the temperature 1.
"""

from __future__ import annotations

from torch import nn

_ATTRIBUTE = "answer_temperature"


def temperature_of(module: nn.Module) -> float:
    """Return the temperature of the answers of `module`."""
    return float(getattr(module, _ATTRIBUTE, 1.0))


def set_temperature(module: nn.Module, temperature: float | None) -> None:
    """Set the temperature of the answers of `module`; None is 1."""
    setattr(module, _ATTRIBUTE, 1.0 if temperature is None else temperature)
