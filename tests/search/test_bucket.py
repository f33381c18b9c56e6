"""A sweep in a bucket resumes on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.places import sweep_uri
from raytl.events import Event, TrialChanged
from raytl.run.run_store import RunStore
from raytl.search.driver import tune
from raytl.store.open import open_store
from tests.conftest import S3, SWIFT
from tests.search.conftest import Finished, MakeSweep, outline


@pytest.fixture(params=["memory", S3, SWIFT])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{tmp_path}"
    return f"s3://{request.getfixturevalue(request.param)}/runs"


@pytest.mark.thorough
def test_a_sweep_resumes_on_another_machine_as_an_undisturbed_one(
    finished: Finished, make_sweep: MakeSweep, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = make_sweep({"storage.uri": storage})

    def ctrl_c(event: Event) -> None:
        if isinstance(event, TrialChanged) and (event.number, event.epoch, event.state) == (2, 1, "running"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(broken, on_event=ctrl_c)
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another machine"))
    resumed: list[int] = []
    result = tune(
        broken, on_event=lambda e: resumed.append(e.number) if isinstance(e, TrialChanged) and e.epoch else None
    )
    assert min(resumed) == 2, "trials that ended do not run again"
    assert outline(broken, "features") == outline(finished.experiment, "features")
    assert result.report == f"{sweep_uri(broken)}/report.html"
    assert open_store(sweep_uri(broken)).exists("report.html")
    assert RunStore.open(result.run).folder.verify() == []
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "third machine"))
    assert tune(broken).status == "already finished"
    kept = [info.key for info in open_store(sweep_uri(broken)).list("trials/") if info.key.endswith("WHOLE.json")]
    assert 0 < len(kept) <= 3, "only the best checkpoints stay"


@pytest.mark.thorough
def test_the_folds_of_a_trial_resume_on_another_machine(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"search.folds": 2, "search.trials": 2, "search.replicates.top": 0, "search.scheduler": "none"}
    alone = make_sweep(changes | {"storage.uri": str(tmp_path / "alone")})
    tune(alone)
    broken = make_sweep(changes | {"storage.uri": f"memory://{tmp_path}"})

    def ctrl_c(event: Event) -> None:
        if isinstance(event, TrialChanged) and (event.number, event.epoch, event.state) == (1, 1, "running"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(broken, on_event=ctrl_c)
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another machine"))
    tune(broken)
    assert outline(broken, "features") == outline(alone, "features")
    assert not [info.key for info in open_store(sweep_uri(broken)).list("trials/") if "checkpoints" in info.key]
