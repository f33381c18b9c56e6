"""One photo's labels as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.scores import probabilities
from raytl.tasks.notebook import of_photo


@dataclass(frozen=True, repr=False)
class MultilabelPrediction:
    """The labels of one photo: `probabilities` of all labels, each on its own, and the `labels` that reach their threshold.

    `photo` is the path or URI; None for an image that was passed in memory.
    """

    probabilities: Mapping[str, float]
    labels: tuple[str, ...]
    photo: str | None = None

    @cached_property
    def ranked(self) -> tuple[tuple[str, float], ...]:
        """Pairs of label and probability, the most probable first."""
        return tuple(sorted(self.probabilities.items(), key=lambda pair: -pair[1]))

    def __repr__(self) -> str:
        named = ", ".join(f"{name} {self.probabilities[name]:.3f}" for name in self.labels[:5])
        more = f", and {len(self.labels) - 5} more" if len(self.labels) > 5 else ""
        return f"MultilabelPrediction({named or 'no labels'}{more}{of_photo(self.photo)})"


def prediction_of(answer: LabelsAnswer, classes: tuple[str, ...], photo: str | None = None) -> MultilabelPrediction:
    """Return the public value of an answer."""
    table = probabilities(answer.logits)
    present = tuple(classes[i] for i in np.flatnonzero(table >= answer.thresholds))
    return MultilabelPrediction(dict(zip(classes, table.tolist(), strict=True)), present, photo)
