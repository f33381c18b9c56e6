"""Replicates and the journal of those that ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.replicas import Replicas


@pytest.mark.parametrize(("retry", "remaining"), [(False, []), (True, [2])])
def test_a_failed_replicate_is_trained_again_only_where_no_other_score_counts(
    tmp_path: Path, retry: bool, remaining: list[int]
) -> None:
    suggestions = [Suggestion(number, {}, seed=1) for number in (1, 2)]
    replicas = Replicas(suggestions, tmp_path / "replicates.jsonl")
    replicas.tell(suggestions[0], 0.5, TrialResult("complete", EpochScores(1)))
    replicas.tell(suggestions[1], None, TrialResult("failed", reason="out of memory"))
    resumed = Replicas(suggestions, tmp_path / "replicates.jsonl", retry)
    assert [each.number for each in resumed.remaining] == remaining
    resumed.tell(suggestions[1], 0.7, TrialResult("complete", EpochScores(1)))
    assert resumed.scores() == {(1, 1): 0.5, (2, 1): 0.7}
