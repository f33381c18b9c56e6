from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raytl.events import Recorder
from raytl.registry.registry import Registry
from raytl.retraining import operating
from raytl.retraining.operating import operating_facts, operating_json, operating_of
from raytl.run.operating import OPERATING, OPERATING_FORMAT
from tests.registry.conftest import about
from tests.run.test_operating import operating_points, write


def test_damaged_or_huge_points_of_a_version_are_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = operating_points(about().weights)
    write(tmp_path / "run" / "evaluation", points)
    registry = Registry.open(f"memory://{tmp_path}/models/demo")
    record = registry.publish(tmp_path / "run", about())
    assert operating_of(registry, record) == points
    assert ("threshold", "recall of at least 90 % for 2 of 2 classes") in operating_facts(points)
    first = (operating_json(points) or {})["aims"][0]
    assert first == {"at_least": 0.95, "recall_of": None, "threshold": 0.5, "met": True}
    monkeypatch.setattr(operating, "OPERATING_FORMAT", replace(OPERATING_FORMAT, max_bytes=100))
    for content in (b"{", b" " * 101):
        registry.store.put_bytes(f"reports/{record.number:06d}/evaluation/report/{OPERATING}", content)
        watcher = Recorder()
        assert operating_of(registry, record, watcher) is None
        assert "the operating points are left out" in str(watcher.events)
