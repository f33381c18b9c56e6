"""The files of a sweep beside its study."""

from __future__ import annotations

from raytl.search.summary import SweepResult


def test_a_result_moves_with_its_sweep_and_leaves_the_run_in_place() -> None:
    result = SweepResult(
        folder="/cache/x", status="finished", trials={"complete": 1}, best_number=0, best_value=0.5, metric="val/accuracy",
        overrides={}, winner_number=0, reason="it is the only one", sweep_score=0.5, replicates=[], refit_score=None,
        soup=None, experiment_file="/cache/x/winner.yaml", run="s3://bucket/x-winner", report="/cache/x/report.html",
        csv="/cache/x/trials.csv", seconds=1.0, next="raytl evaluate s3://bucket/x-winner",
    )  # fmt: skip
    moved = result.moved("/cache/x", "s3://bucket/x")
    assert (moved.folder, moved.report) == ("s3://bucket/x", "s3://bucket/x/report.html")
    assert (moved.csv, moved.experiment_file) == ("s3://bucket/x/trials.csv", "s3://bucket/x/winner.yaml")
    assert (moved.run, moved.next, moved.reason) == (result.run, result.next, result.reason)
