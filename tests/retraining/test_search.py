"""A tick that searches the recipe again, and ticks on several workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raytl.events import Message, Recorder
from raytl.retraining import context
from raytl.retraining.policy import Search, Train
from raytl.retraining.ticks import all_ticks
from raytl.store.open import open_store
from tests.conftest import S3
from tests.retraining.conftest import Days, MakeDays

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def searching(days: Days) -> Days:
    """Every second training is a sweep of three trials."""
    return days.where(
        retrain__how__search_again={"every": 2, "trials": 3},
        search={"views": 1, "replicates": {"top": 1, "seeds": 1}, "space": {"optim.lr": {"log": [0.005, 0.05]}}},
    )


@pytest.mark.parametrize("there", ["local", S3])
def test_a_search_is_run_and_its_winner_is_the_challenger(
    there: str, make_days: MakeDays, request: pytest.FixtureRequest
) -> None:
    days = searching(make_days())
    if there == "bucket":
        bucket = request.getfixturevalue(there)
        days = days.where(retrain__registry=f"s3://{bucket}/models", storage__uri=f"s3://{bucket}/runs")
    first = days.tick().tick
    assert first is not None
    assert isinstance(first.decision, Train)
    days.add(10)
    planned = days.tick(dry_run=True)
    assert planned.next_step == "search"
    found = days.tick().tick
    assert found is not None
    assert found.decision == Search(
        ("30 new or relabelled images (threshold 20)", "1 trainings since the last search (search_again.every 2)"), 1, 3
    )
    assert found.outcome in ("promote", "keep", "reject")
    assert found.comparison is not None
    assert found.comparison.paired is not None
    assert (found.comparison.leaked, found.version, found.since_search) == ((), 2, 0)
    sweep = f"{days.experiment.storage.uri}/toy-{found.id.lower()}-sweep"
    assert sum(json.loads(open_store(sweep).get_bytes("summary.json"))["trials"].values()) == 3
    record = days.registry.record(2)
    assert (record.about.tick, record.about.parent) == (found.id, 1)
    assert record.about.run != sweep
    assert record.about.run.startswith(days.experiment.storage.uri)


def test_an_interrupted_search_is_resumed(make_days: MakeDays, monkeypatch: pytest.MonkeyPatch) -> None:
    days = searching(make_days())
    days.tick()
    days.add(10)
    write, left = context.write_tick, [True]

    def dies_before(store, tick, where="ticks/"):  # type: ignore[no-untyped-def]
        if tick.stage == "trained" and left:
            left.clear()
            raise KeyboardInterrupt
        write(store, tick, where)

    monkeypatch.setattr(context, "write_tick", dies_before)
    with pytest.raises(KeyboardInterrupt):
        days.tick()
    watcher = Recorder()
    found = days.tick(on_event=watcher).tick
    assert found is not None
    assert (found.over, found.interruptions, found.version) == (True, 1, 2)
    assert any("Resuming tick" in event.text for event in watcher.events if isinstance(event, Message))
    sweeps = [path.name for path in Path(days.experiment.storage.uri).glob("*-sweep")]
    assert sweeps == [f"toy-{found.id.lower()}-sweep"]


@pytest.mark.lengthy
@pytest.mark.ray
def test_two_workers_decide_as_one_does(make_days: MakeDays, tmp_path: Path) -> None:
    days = make_days(epochs=4)
    two = Days(days.experiment, days.photos, days.make_photos).where(
        name="two",
        retrain__registry=str(tmp_path / "models" / "two"),
        compute={"cluster": "local", "workers": 2, "cpus_per_worker": 1, "device": "cpu"},
    )
    days.tick(), two.tick()
    days.add(10)
    two.number = days.number
    days.tick(), two.tick()
    ticks = [all_ticks(each.registry.store) for each in (days, two)]
    for one, other in zip(*ticks, strict=True):
        assert (one.decision, one.outcome) == (other.decision, other.outcome)
        assert one.changes is not None
        assert other.changes is not None
        assert (one.changes.snapshot, one.evaluation) == (other.changes.snapshot, other.evaluation)
        assert one.comparison is not None
        assert other.comparison is not None
        assert (one.comparison.unknown, one.comparison.leaked) == (other.comparison.unknown, other.comparison.leaked)
    assert [each.registry.numbers() for each in (days, two)] == [[1, 2], [1, 2]]
    assert days.registry.history()[0].moved == two.registry.history()[0].moved
