"""Explain a classifier: one statement an image, the class that it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.data.targets import Target
from raytl.metrics.scores import softmax
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT
from raytl.tasks.explaining import Statement, class_logits

Logits = NDArray[np.float32]


class ClassificationExplaining:
    """See `raytl.tasks.explaining.Explaining`."""

    measure = ""
    has_mistakes = True
    scores = staticmethod(class_logits)

    def predicted(self, answer: Logits, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the most probable class."""
        return (classes[int(answer.argmax())],)

    def true(self, target: Target) -> tuple[str, ...] | None:
        """Return the class of the image."""
        return (target,) if isinstance(target, str) else None

    def statements(
        self, answer: Logits, classes: Sequence[str], target: Target, only: str | None
    ) -> tuple[Statement, ...]:
        """Return the predicted class, or the class `only`, with its probability; correct if the prediction is."""
        predicted = int(answer.argmax())
        place = predicted if only is None else classes.index(only)
        correct = classes[predicted] == target if isinstance(target, str) else None
        return (Statement(place, classes[place], float(softmax(answer[None])[0, place]), correct),)

    def stored(self, outcomes: Path) -> Mapping[str, bool]:
        """Return whether the predicted class of each image is its true one."""
        rows = OUTCOME_FORMAT.lines(OUTCOME_FORMAT.content(outcomes, lines=True), str(outcomes))
        return {row.key: row.true == row.predicted for row in rows}


EXPLAINING = ClassificationExplaining()
