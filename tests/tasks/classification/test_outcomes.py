"""The outcome of every image, for paired tests."""

from __future__ import annotations

import numpy as np

from raytl.data.manifest import Sample
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT, Outcome, encoded


def test_outcomes_read_back_as_they_were_written() -> None:
    samples = [Sample("a\n'1", "/p", "a", "test"), Sample("кошка/2", "/p", "b", "test")]
    content = encoded(samples, ("a", "b"), np.array([[0.9, 0.1], [0.6, 0.4]]))
    assert list(OUTCOME_FORMAT.lines(content, "x")) == [
        Outcome("a\n'1", "a", "a", 0.9),
        Outcome("кошка/2", "b", "a", 0.6),
    ]
