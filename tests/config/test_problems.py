"""Near misses, and the text of all problems."""

from __future__ import annotations

import pytest

from raytl.config.problems import Problem, config_error, near_miss


@pytest.mark.parametrize(
    ("word", "near"),
    [("unfreez", "unfreeze"), ("batchsize", "batch_size"), ("Batch-Size", "batch_size"), ("zzz", None), ("lrr", "lr")],
)
def test_a_near_miss_is_found(word: str, near: str | None) -> None:
    assert near_miss(word, ("unfreeze", "batch_size", "lr")) == near


def test_problems_are_listed_one_per_line() -> None:
    problems = [Problem("a.yaml:3", "x.y", "found 1", "write 2"), Problem("--set x.z", "x.z", "found 3")]
    assert str(config_error("a.yaml", problems)) == (
        "a.yaml: 2 problems\n  a.yaml:3: x.y: found 1\n    -> write 2\n  --set x.z: found 3"
    )


def test_one_problem_is_not_many() -> None:
    assert str(config_error("a.yaml", [Problem("a.yaml:3", "x", "bad")])).startswith("a.yaml: 1 problem\n")
