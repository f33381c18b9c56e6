"""`raytl tune` from its plan to its winner, and what contradicts itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos
from tests.search.cheap import make_cheap
from tests.search.test_earlier import write_sweep

SMALL = ("search.trials=3", "search.budget.max_epochs=2", "search.replicates.top=1", "search.replicates.seeds=1")
EARLIER = {"transfer.unfreeze": 0, "augment.strength": 0.25, "optim.lr": 2e-3, "optim.weight_decay": 0.1}
SET = tuple(word for text in SMALL for word in ("--set", text))


def test_a_sweep_from_its_plan_to_its_winner(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_cheap(monkeypatch)
    make_photos(per_class=12)
    write_sweep(Path("old/first-sweep"), [(0.5, EARLIER)], **{"model.name": "test_resnet"})
    planned = raytl("tune", tiny, *SET, "--dry-run", "--set", "search.prior=old")
    assert planned.code == 0, planned.err
    assert "transfer.unfreeze" in planned.out and "wall time" in planned.out
    assert "first-sweep (1)" in planned.out
    assert not Path("runs/tiny-sweep/study.log").exists()
    assert json.loads(raytl("tune", tiny, *SET, "--dry-run", "--json").out)["trials"] == 3

    done = raytl("tune", tiny, *SET)
    assert done.code == 0, done.err
    assert "3/3  trial" in done.err
    assert "next: raytl evaluate runs/tiny-winner" in done.out
    found = json.loads(raytl("tune", tiny, *SET, "--json").out)
    assert (found["status"], sum(found["trials"].values())) == ("already finished", 3)
    assert raytl("train", found["experiment_file"]).out.count("already finished") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--new", "--add", "2"), "it cannot be combined with --add"),
        (("--new", "--dry-run"), "it cannot be combined with --dry-run"),
        (("--add", "-1"), "expected 1 or more trials"),
        (("--set", "search.sampler=tpee"), "did you mean 'tpe'"),
        (("--set", "search.metric=val/accurracy"), "val/accuracy"),
        (("--set", "search.trials=0"), "search.trials"),
    ],
)
def test_wrong_options_are_reported_before_anything_starts(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos, words: tuple[str, ...], expected: str
) -> None:
    make_photos(per_class=12)
    ended = raytl("tune", tiny, *words)
    assert (ended.code, ended.out) == (2, "")
    assert expected in ended.err
