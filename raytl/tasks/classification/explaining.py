"""Explain a classifier: one claim an image, the class that it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.data.targets import Target
from raytl.metrics.scores import softmax
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT
from raytl.tasks.explaining import Claim, class_logits

Logits = NDArray[np.float32]


class ClassificationExplaining:
    """See `raytl.tasks.explaining.Explaining`."""

    scores = staticmethod(class_logits)

    def predicted(self, answer: Logits, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the most probable class."""
        return (classes[int(answer.argmax())],)

    def true(self, target: Target) -> tuple[str, ...] | None:
        """Return the class of the image."""
        return (target,) if isinstance(target, str) else None

    def claims(self, answer: Logits, classes: Sequence[str], target: Target, only: str | None) -> tuple[Claim, ...]:
        """Return the predicted class, or the class `only`, with its probability; right if the prediction is."""
        predicted = int(answer.argmax())
        place = predicted if only is None else classes.index(only)
        right = classes[predicted] == target if isinstance(target, str) else None
        return (Claim(place, classes[place], float(softmax(answer[None])[0, place]), right),)

    def stored(self, outcomes: Path) -> Mapping[str, bool]:
        """Return whether the predicted class of each image is its true one."""
        rows = OUTCOME_FORMAT.lines(OUTCOME_FORMAT.content(outcomes, lines=True), str(outcomes))
        return {row.key: row.true == row.predicted for row in rows}


EXPLAINING = ClassificationExplaining()
