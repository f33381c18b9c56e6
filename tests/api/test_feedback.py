"""Feedback from Python: buckets are reached as the run says that the images are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

import raytl
from tests.api.conftest import small


def test_feedback_is_reached_as_the_run_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_run = raytl.Machine.of(small(tmp_path, storage={"uri": "s3://b/runs", "endpoint_url": "http://here:9000"}))
    run = raytl.Run("s3://b/runs/toy", small(tmp_path), "trained", 1, 2, {}, of_run)
    reached: list[str | None] = []
    for verb in ("collect", "returned"):
        monkeypatch.setattr(
            f"raytl.feedback.driver.{verb}",
            lambda *_, machine, **__: reached.append(machine and machine.storage.endpoint_url),
        )
    raytl.collect("s3://b/feedback", model=run, progress=False)
    raytl.return_labels("s3://b/feedback", "labels.csv", model=run, progress=False)
    own = raytl.Machine(storage=of_run.storage.model_copy(update={"endpoint_url": "http://there:9000"}))
    raytl.collect("s3://b/feedback", model=run, machine=own, progress=False)
    raytl.collect("s3://b/feedback", model="runs/toy", progress=False)
    assert reached == ["http://here:9000", "http://here:9000", "http://there:9000", None]
