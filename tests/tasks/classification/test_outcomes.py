"""Every image of an evaluated split has its outcome beside the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from raytl.data.manifest import Sample
from raytl.evaluation.evaluate import evaluate
from raytl.run import RunFolder, journal
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT, OUTCOMES, Outcome, encoded


def test_outcomes_read_back_as_they_were_written() -> None:
    samples = [Sample("a\n'1", "/p", "a", "test"), Sample("кошка/2", "/p", "b", "test")]
    content = encoded(samples, ("a", "b"), np.array([[0.9, 0.1], [0.6, 0.4]]))
    assert list(OUTCOME_FORMAT.lines(content, "x")) == [
        Outcome("a\n'1", "a", "a", 0.9),
        Outcome("кошка/2", "b", "a", 0.6),
    ]


def test_an_evaluation_leaves_the_outcome_of_each_image(run: RunFolder) -> None:
    evaluation = evaluate(run.root, split="val")
    rows = journal.read(Path(evaluation.folder) / OUTCOMES, OUTCOME_FORMAT)
    assert len(rows) == evaluation.images
    assert np.mean([row.true == row.predicted for row in rows]) == evaluation.metrics["accuracy"]
