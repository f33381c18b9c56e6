"""Write the labels of photos as a table: path, the predicted labels as `a|b`, and a probability for each label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from raytl.tasks.answers import Answers, OpenPhoto, OutputFormat
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.scores import probabilities
from raytl.tasks.table import write_table

SEPARATOR = "|"


def columns(answers: Answers[LabelsAnswer]) -> dict[str, list[Any]]:
    """Return path, predicted (empty if no label is), and the probability of each label as `p_<label>`."""
    shape = (-1, len(answers.classes))
    logits, thresholds = ([getattr(each, name) for each in answers.answers] for name in ("logits", "thresholds"))
    table = probabilities(np.array(logits).reshape(shape))
    present = table >= np.array(thresholds).reshape(shape)
    return {
        "path": list(answers.paths),
        "predicted": [SEPARATOR.join(answers.classes[i] for i in np.flatnonzero(row).tolist()) for row in present],
        **{f"p_{name}": table[:, i].tolist() for i, name in enumerate(answers.classes)},
    }


def write_columns(answers: Answers[LabelsAnswer], out: Path, photo: OpenPhoto) -> None:
    """Write the table to the file `out`."""
    write_table(columns(answers), out)


FORMATS: tuple[OutputFormat[LabelsAnswer], ...] = (
    OutputFormat("csv", ".csv", write_columns),
    OutputFormat("parquet", ".parquet", write_columns),
)
"""The formats of multi-label predictions."""
