"""Earlier sweeps are found and read: which count, which trials of them, and what is said about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import RunError
from raytl.run.plain import encode
from raytl.search.earlier import Earlier, Wanted, earlier_sweeps
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT
from tests.conftest import S3
from tests.search.test_study import BASE, RATES, STAGES, default_space, opened
from tests.search.test_study import run as run_study

METRIC = "val/balanced_accuracy"
SAME = {"metric": METRIC, "task": "classification", "model.name": "resnet18", "dataset": "d1"}


def write_sweep(folder: Path, trials: Sequence[tuple[Any, Mapping[str, Any]]], **same: str) -> Path:
    """Write a sweep's journal with (best score, overrides) of complete trials."""
    rows: list[dict[str, Any]] = [{"op_code": 2, "study_id": 0, "user_attr": {"raytl": {**SAME, **same}}}]
    for number, (best, overrides) in enumerate(trials):
        rows.append({"op_code": 8, "trial_id": number, "user_attr": {"overrides": overrides}})
        rows.append({"op_code": 8, "trial_id": number, "user_attr": {"best": [best]}})
        rows.append({"op_code": 6, "trial_id": number, "state": 1, "values": [best]})
    folder.mkdir(parents=True)
    (folder / "study.log").write_bytes(b"".join(encode(row) + b"\n" for row in rows))
    (folder / "experiment.yaml").write_text("name: x\n")
    return folder


def wanted(**changes: Any) -> Wanted:
    same = {"task": "classification", "model.name": "resnet18"}
    given = {
        "space": RATES, "base": BASE, "stages": STAGES, "metric": METRIC, "same": same, "dataset": "d1", "own": "none",
    }  # fmt: skip
    return Wanted(**{**given, **changes})


def read(*locations: Path, **changes: Any) -> Earlier:
    return earlier_sweeps([str(location) for location in locations], ENVIRONMENT, wanted(**changes))


def test_a_sweep_that_raytl_wrote_is_read_with_stopped_trials_too(tmp_path: Path) -> None:
    (tmp_path / "old-sweep").mkdir()
    study = opened(tmp_path / "old-sweep", trials=8)
    run_study(study, epochs=9)
    study.study.set_user_attr("raytl", {**study.study.user_attrs["raytl"], **SAME})
    (tmp_path / "old-sweep" / "experiment.yaml").write_text("name: old\n")
    earlier = read(tmp_path, space=default_space())
    (sweep,) = earlier.prior.sweeps
    records = [record for record in study.records() if record.values]
    best = max(records, key=lambda record: (record.values or (0.0,), -record.number))
    assert {record.state for record in records} == {"complete", "pruned"}
    assert (sweep.name, len(sweep.trials), earlier.unused) == ("old-sweep", len(records), "")
    assert sweep.trials[0].values == pytest.approx(best.overrides)
    assert [trial.rank for trial in sweep.trials] == sorted(trial.rank for trial in sweep.trials)


def test_scores_become_ranks_within_each_sweep(tmp_path: Path) -> None:
    write_sweep(tmp_path / "easy", [(0.9, {"optim.lr": 1e-3}), (0.8, {"optim.lr": 2e-3})])
    write_sweep(tmp_path / "hard", [(0.3, {"optim.lr": 3e-3}), (0.4, {"optim.lr": 4e-3}), (0.2, {"optim.lr": 5e-3})])
    sweeps = {sweep.name: sweep.trials for sweep in read(tmp_path).prior.sweeps}
    assert [(t.values["optim.lr"], t.rank) for t in sweeps["easy"]] == [(1e-3, 0.0), (2e-3, 1.0)]
    assert [(t.values["optim.lr"], t.rank) for t in sweeps["hard"]] == [(4e-3, 0.0), (3e-3, 0.5), (5e-3, 1.0)]


def test_a_lower_loss_is_the_better_one(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a", [(0.9, {"optim.lr": 1e-3}), (0.4, {"optim.lr": 2e-3})], metric="val/log_loss")
    (sweep,) = read(tmp_path, metric="val/log_loss").prior.sweeps
    assert [trial.values["optim.lr"] for trial in sweep.trials] == [2e-3, 1e-3]


def test_sweeps_of_the_same_data_come_first_and_then_the_largest(tmp_path: Path) -> None:
    trials = [(0.1 * n, {"optim.lr": 1e-3 + 1e-4 * n}) for n in range(1, 5)]
    write_sweep(tmp_path / "small", trials[:2], dataset="d2")
    write_sweep(tmp_path / "large", trials, dataset="d2")
    write_sweep(tmp_path / "same", trials[:1])
    assert [sweep.name for sweep in read(tmp_path).prior.sweeps] == ["same", "large", "small"]


@pytest.mark.parametrize(
    ("same", "reason"),
    [
        ({"metric": "val/accuracy"}, "a (metric val/accuracy)"),
        ({"task": "detection"}, "a (task detection)"),
        ({"model.name": "vit_tiny"}, "a (model.name vit_tiny)"),
    ],
)
def test_sweeps_of_another_kind_are_left_out_with_the_reason(tmp_path: Path, same: dict[str, str], reason: str) -> None:
    write_sweep(tmp_path / "a", [(0.5, {"optim.lr": 1e-3})], **same)
    earlier = read(tmp_path)
    assert (earlier.prior.sweeps, earlier.used) == ((), "")
    assert earlier.unused == reason


def test_values_outside_the_space_are_dropped_and_counted(tmp_path: Path) -> None:
    outside: list[Any] = [1.0, "high", True, None, 1e400]
    trials = [(0.5, {"optim.lr": 1e-3}), *((0.9, {"optim.lr": value}) for value in outside[:4])]
    write_sweep(tmp_path / "a", trials)
    earlier = read(tmp_path)
    assert earlier.unused == "a (4 of 5 trials are outside this space)"
    assert [trial.values for trial in earlier.prior.sweeps[0].trials] == [{"optim.lr": 1e-3}]


def test_a_key_that_was_not_varied_has_the_value_that_it_had(tmp_path: Path) -> None:
    same = {"transfer.unfreeze": "all", "augment.strength": "0.25", "optim.weight_decay": "0.1"}
    overrides = {"optim.lr": 1e-3, "transfer.lr_decay": 0.5, "transfer.head_lr_ratio": 5, "train.batch_size": 7}
    write_sweep(tmp_path / "a", [(0.5, overrides)], **same)
    (sweep,) = read(tmp_path, space=default_space()).prior.sweeps
    assert sweep.trials[0].values == {
        "transfer.unfreeze": STAGES, "transfer.lr_decay": 0.5, "transfer.head_lr_ratio": 5.0, "augment.strength": 0.25,
        "optim.lr": 1e-3, "optim.weight_decay": 0.1,
    }  # fmt: skip


def test_the_sweep_itself_and_overlapping_locations_count_once(tmp_path: Path) -> None:
    own = write_sweep(tmp_path / "own", [(0.5, {"optim.lr": 1e-3})])
    other = write_sweep(tmp_path / "below" / "other", [(0.5, {"optim.lr": 1e-3})])
    earlier = read(tmp_path, other, own=str(own))
    assert earlier.used == "other (1)"


def test_runs_are_no_sweeps_and_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.yaml").write_text("name: x\n")
    assert read(tmp_path) == Earlier(read(tmp_path).prior, "", "")
    with pytest.raises(RunError, match="no such folder"):
        read(tmp_path / "missing")


@pytest.mark.parametrize("there", ["memory", S3])
def test_a_bucket_is_read_as_a_folder_is(there: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    uri = f"memory://{tmp_path}" if there == "memory" else f"s3://{request.getfixturevalue('bucket')}/runs"
    for name in ("own-sweep", "other-sweep"):
        folder = write_sweep(tmp_path / name, [(0.5, {"optim.lr": 1e-3})])
        for file in ("study.log", "experiment.yaml"):
            open_store(uri).put_bytes(f"{name}/{file}", (folder / file).read_bytes())
        open_store(uri).put_bytes(f"{name}/trials/trial-00000-0/experiment.yaml", b"name: x\n")
    earlier = earlier_sweeps([uri], ENVIRONMENT, wanted(own=f"{uri}/own-sweep"))
    assert (earlier.used, earlier.unused) == ("other-sweep (1)", "")
