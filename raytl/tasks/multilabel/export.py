"""Write the labels of photos as a table: path, the predicted labels as `a|b`, and a probability for each label."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from raytl.tasks.answers import Answers, OpenPhoto, OutputFormat
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.scores import probabilities
from raytl.tasks.multilabel.targets import SEPARATOR
from raytl.tasks.predictions import PredictionKind
from raytl.tasks.table import write_table


def columns(answers: Answers[LabelsAnswer]) -> dict[str, list[Any]]:
    """Return path, predicted (empty if no label is), and the probability of each label as `p_<label>`."""
    table = np.array([probabilities(each.logits) for each in answers.answers]).reshape(-1, len(answers.classes))
    return {
        "path": list(answers.paths),
        "predicted": [SEPARATOR.join(answers.classes[i] for i in present(each)) for each in answers.answers],
        **{f"p_{name}": table[:, i].tolist() for i, name in enumerate(answers.classes)},
    }


def present(answer: LabelsAnswer) -> list[int]:
    """Return the places of the labels whose probability reaches their threshold."""
    return np.flatnonzero(probabilities(answer.logits) >= answer.thresholds).tolist()


def labels(answers: Answers[LabelsAnswer]) -> Iterator[str]:
    """Yield the labels of each photo."""
    return (answers.classes[i] for each in answers.answers for i in present(each))


def preview(answers: Answers[LabelsAnswer]) -> Iterator[tuple[str, ...]]:
    """Yield each photo, its labels, and the probability of the least certain of them (of the most probable one without)."""
    for path, each in zip(answers.paths, answers.answers, strict=True):
        names, table = [answers.classes[i] for i in present(each)], probabilities(each.logits)
        sure = table[present(each)].min() if names else table.max()
        yield path, ", ".join(names) or "–", f"{100 * sure:.1f} %"


def write_columns(answers: Answers[LabelsAnswer], out: Path, photo: OpenPhoto) -> None:
    """Write the table to the file `out`."""
    write_table(columns(answers), out)


FORMATS: tuple[OutputFormat[LabelsAnswer], ...] = (
    OutputFormat("csv", ".csv", write_columns),
    OutputFormat("parquet", ".parquet", write_columns),
)
"""The formats of multi-label predictions."""
PREDICTIONS = PredictionKind(FORMATS, columns, labels, "photos", ("photo", "predicted", "probability"), preview)
