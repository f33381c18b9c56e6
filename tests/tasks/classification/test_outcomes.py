"""The outcome of every image, for paired tests."""

from __future__ import annotations

import numpy as np

from raytl.data.manifest import Sample
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT, Outcome, encoded, paired_outcomes


def test_outcomes_read_back_as_they_were_written() -> None:
    samples = [Sample("a\n'1", "/p", "a", "test"), Sample("кошка/2", "/p", "b", "test")]
    content = encoded(samples, ("a", "b"), np.array([[0.9, 0.1], [0.6, 0.4]]))
    assert list(OUTCOME_FORMAT.lines(content, "x")) == [
        Outcome("a\n'1", "a", "a", 0.9),
        Outcome("кошка/2", "b", "a", 0.6),
    ]
    assert b"group" not in content


def test_the_groups_of_either_evaluation_are_swapped_whole() -> None:
    def outcomes(numbers: list[int | None], right: bool) -> list[Outcome]:
        return [Outcome(f"{i:02}", "a", "a" if right else "b", 0.9, each) for i, each in enumerate(numbers)]

    alone: list[int | None] = [None] * 20
    halves: list[int | None] = [i // 10 for i in range(20)]
    p_values = {
        name: paired_outcomes(outcomes(before, right=False), outcomes(after, right=True))[0][0].p_better
        for name, before, after in (("none", alone, alone), ("one", alone, halves), ("both", halves, halves))
    }
    assert p_values["none"] < 0.001
    assert p_values["one"] == p_values["both"] == 1 / 4
