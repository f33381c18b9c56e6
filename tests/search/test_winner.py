"""The trials from which the winner is chosen: those with a checkpoint, and how often each is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.errors import TrainingError
from raytl.events import Message, Recorder
from raytl.run.folder import RunFolder
from raytl.search.record import State, TrialRecord
from raytl.search.trial import winner_experiment
from raytl.search.winner import Jobs, _candidate, _is_other_winner, _repeats_own, _soup, _with_checkpoints
from raytl.store.s3_settings import ENVIRONMENT
from raytl.training.driver import _write_inputs, plan
from raytl.training.job import TrainJob
from tests.search.conftest import MakeSweep, write_weights


@pytest.mark.parametrize(
    ("stored", "expected", "lost"),
    [
        ({0, 1, 2, 3, 4}, [0, 1, 3], []),
        ({0, 2, 4}, [0, 2, 4], [1]),
        ({0, 1, 2}, [0, 1], []),
        ({3, 4}, [3, 4], [0, 1, 2]),
    ],
)
def test_the_best_trial_with_fewer_methods_whose_checkpoint_exists_is_compared(
    tmp_path: Path, stored: set[int], expected: list[int], lost: list[int]
) -> None:
    records = []
    for number, method in enumerate(("pseudo", "propagate", "pseudo", "none", "none")):
        folder = tmp_path / str(number)
        (folder / "checkpoints" / "best" if number in stored else folder).mkdir(parents=True)
        records.append(TrialRecord(number, "complete", {"few.method": method}, (0.5,), folder=str(folder)))
    events = Recorder()
    best = _with_checkpoints(records, 2, ENVIRONMENT, events)
    assert [each.number for each in best] == expected
    texts = [event.text for event in events.events if isinstance(event, Message)]
    assert texts == [f"trial {number} is excluded: its checkpoint was lost with its node" for number in lost]


def test_trials_that_all_lost_their_checkpoints_have_no_winner(tmp_path: Path) -> None:
    records = [TrialRecord(number, "complete", {}, (0.5,), folder=str(tmp_path / str(number))) for number in range(2)]
    with pytest.raises(TrainingError, match=r"none of the 2 trials with a score has a checkpoint(.|\n)*--add N"):
        _with_checkpoints(records, 2, ENVIRONMENT, Recorder())


def test_the_scores_of_a_candidate_are_in_the_order_of_their_seeds() -> None:
    replicates: dict[tuple[int, int | None], float | None] = {(3, 11): 0.3, (3, 9): 0.1, (2, 10): 0.5, (3, 10): 0.2}
    record = TrialRecord(3, "complete", {}, (0.9,))
    assert _candidate(record, 0.9, replicates).scores == (0.9, 0.1, 0.2, 0.3)


@pytest.mark.parametrize("stored", [set(), {1}])
def test_a_soup_whose_best_checkpoint_was_lost_is_a_warning(tmp_path: Path, stored: set[int]) -> None:
    records = []
    for number in range(2):
        folder = tmp_path / str(number)
        (folder / "checkpoints" / "best" if number in stored else folder).mkdir(parents=True)
        records.append(TrialRecord(number, "complete", {}, (0.9 - number / 10,), folder=str(folder)))
    experiment = override(Experiment(name="x", data="own.csv", model="test_vit"), {"search.soup": "greedy"})
    sweep = TrainJob(experiment, "runs", (), (), ("a", "b"))
    events = Recorder()
    assert _soup(records, sweep, tmp_path, events) is None
    assert [event.text for event in events.events if isinstance(event, Message)] == [
        "no soup: fewer than two of the best trials have a checkpoint of the same network"
    ]


@pytest.mark.parametrize(
    ("state", "top", "expected"), [("complete", 3, False), ("pruned", 3, True), ("pruned", 0, False)]
)
def test_a_trial_that_was_stopped_is_repeated_with_its_own_seed(state: State, top: int, expected: bool) -> None:
    experiment = Experiment(name="x", data="own.csv", model="test_vit")
    images = [Sample("a/1", "1", "a")]
    job = TrainJob(override(experiment, {"search.replicates.top": top}), "runs", images, images, ("a", "b"))
    assert _repeats_own(TrialRecord(0, state, {}, (0.5,)), Jobs(job, job)) is expected


def test_a_winner_of_earlier_data_or_weights_is_another_one(make_sweep: MakeSweep, tmp_path: Path) -> None:
    experiment = winner_experiment(make_sweep({"recipe": "none"}), {"transfer.unfreeze": 1}, "toy-winner")
    assert not _is_other_winner(experiment)
    _write_inputs(RunFolder.of(experiment), plan(experiment), resumed=False)
    assert not _is_other_winner(experiment)
    assert _is_other_winner(override(experiment, {"transfer.unfreeze": 2}))
    write_weights(tmp_path, seed=2)
    assert _is_other_winner(experiment)
    write_weights(tmp_path)
    next((Path(experiment.data.uri) / "red").iterdir()).unlink()
    assert _is_other_winner(experiment)
