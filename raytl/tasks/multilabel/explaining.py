"""Explain a model of labels: a statement for each label that it predicts or misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from raytl.data.targets import Labels, Target
from raytl.tasks.explaining import Statement, class_logits
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.scores import probabilities
from raytl.tasks.multilabel.targets import labels_of
from raytl.tasks.score_reporting import SCORE_FORMAT


class LabelsExplaining:
    """See `raytl.tasks.explaining.Explaining`."""

    measure = ""
    has_mistakes = True
    scores = staticmethod(class_logits)

    def predicted(self, answer: LabelsAnswer, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the labels that reach their threshold."""
        return tuple(classes[i] for i in np.flatnonzero(_present(answer)).tolist())

    def true(self, target: Target) -> tuple[str, ...] | None:
        """Return the labels of the image."""
        labels = labels_of(target)
        return None if labels is None else tuple(dict.fromkeys(labels.present))

    def statements(
        self, answer: LabelsAnswer, classes: Sequence[str], target: Target, only: str | None
    ) -> tuple[Statement, ...]:
        """Return the labels that are predicted or missed, the wrong ones first; the most probable label without any."""
        table, present, labels = probabilities(answer.logits), _present(answer), labels_of(target)
        statements = [
            Statement(place, name, float(table[place]), _correct(name, bool(present[place]), labels))
            for place, name in enumerate(classes)
        ]
        if only is not None:
            return (statements[classes.index(only)],)
        named = [statement for statement in statements if present[statement.place] or statement.correct is False]
        named = named or [statements[int(table.argmax())]]
        return tuple(sorted(named, key=lambda statement: (statement.correct is not False, -statement.confidence)))

    def stored(self, outcomes: Path) -> Mapping[str, bool]:
        """Return whether all labels of each image are correct."""
        rows = SCORE_FORMAT.lines(SCORE_FORMAT.content(outcomes, lines=True), str(outcomes))
        return {row.key: row.score == 1.0 for row in rows}


def _present(answer: LabelsAnswer) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(probabilities(answer.logits) >= answer.thresholds)


def _correct(name: str, is_predicted: bool, labels: Labels | None) -> bool | None:
    """Return whether the decision about a label is correct; None if the label is not known."""
    if labels is None or name in labels.unknown:
        return None
    return is_predicted == (name in labels.present)


EXPLAINING = LabelsExplaining()
