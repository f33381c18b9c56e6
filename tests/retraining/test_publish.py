from __future__ import annotations

from pathlib import Path

from raytl.retraining.publish import copy_evaluations
from raytl.run import RunFolder
from raytl.run.ledger import looks, unlock


def test_the_ledger_and_the_reports_of_a_run_go_into_its_version(tmp_path: Path) -> None:
    run, stage = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "stage")
    for each in (run, stage):
        each.root.mkdir()
    copy_evaluations(run, stage)
    assert not list(stage.root.iterdir())
    unlock(run, "w")
    (run.evaluation / "test").mkdir(parents=True)
    (run.evaluation / "test" / "report.json").write_text("{}")
    (run.evaluation / ".draft").mkdir()
    copy_evaluations(run, stage)
    assert looks(stage) == looks(run) and looks(stage)[0].is_reported(stage)
    assert [path.name for path in stage.evaluation.iterdir()] == ["test"]
