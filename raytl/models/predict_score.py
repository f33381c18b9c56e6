"""The lowest score of the objects that a network reports, as `predict.score` says or validation chose.

It is in the card of a saved model and, once loaded, an attribute of the module itself, like the temperature.
"""

from __future__ import annotations

from torch import nn

DEFAULT_SCORE = 0.3
"""That of a network for which validation chose none, such as one of an earlier version."""
_ATTRIBUTE = "predict_score"


def predict_score_of(module: nn.Module) -> float:
    """Return the lowest score of the objects that `module` reports."""
    return float(getattr(module, _ATTRIBUTE, DEFAULT_SCORE))


def set_predict_score(module: nn.Module, score: float | None) -> None:
    """Set the lowest score of the objects that `module` reports; None is the default."""
    setattr(module, _ATTRIBUTE, DEFAULT_SCORE if score is None else score)
