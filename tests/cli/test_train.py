"""`raytl train`, `raytl evaluate` and `raytl predict` on a small real run, and what Ctrl-C says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos


def test_a_run_from_training_to_predictions(raytl: Raytl, tiny: Path, make_photos: MakePhotos) -> None:
    photos = make_photos(per_class=12)
    trained = raytl("train", tiny)
    assert trained.code == 0, trained.err
    assert "tiny: trained" in trained.out
    assert "raytl evaluate runs/tiny    (the test split, locked" in trained.out
    assert "epoch 2/2" in trained.err
    assert "from epoch 2: head + 1" in trained.err

    again = json.loads(raytl("train", tiny, "--json").out)
    assert (again["status"], again["run"], again["epochs"]) == ("already finished", "runs/tiny", 2)
    assert "already finished; nothing was done" in raytl("train", tiny).out

    tested = raytl("evaluate", "runs/tiny")
    assert tested.code == 0, tested.err
    assert "tiny: test split" in tested.out
    assert "95 % interval" in tested.out
    assert "runs/tiny/evaluation/test/report.md" in tested.out
    stored = raytl("evaluate", "runs/tiny")
    assert (stored.code, stored.out) == (0, tested.out)
    assert (
        "showing the stored report (--again, in Python again=True, evaluates the test split once more and marks the report 'evaluation 2')"
        in stored.err
    )
    marked = raytl("evaluate", "runs/tiny", "--again")
    assert "evaluation 2 of this test split" in marked.out
    assert json.loads(raytl("evaluate", "runs/tiny", "--split", "val", "--json").out)["split"] == "val"
    assert "opened 2 times so far" in raytl("train", tiny).out

    (photos / "red" / "broken.jpg").write_text("nothing")
    shown = raytl("predict", "runs/tiny", photos / "red")
    assert shown.code == 0
    assert "000.jpg" in shown.out
    assert "warning: could not read" in shown.err
    written = raytl("predict", "runs/tiny", photos, "--out", "p.csv", "--json")
    summary: dict[str, Any] = json.loads(written.out)
    assert (summary["out"], summary["photos"], len(summary["unreadable"])) == ("p.csv", 36, 1)
    assert Path("p.csv").read_text().splitlines()[0] == "path,predicted,p_blue,p_green,p_red"
    assert "p.csv: 36 photos" in raytl("predict", "runs/tiny", photos, "-o", "p.csv").out


def test_ctrl_c_says_that_the_same_command_continues(raytl: Raytl, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("raytl.training.driver.train", interrupted)
    done = raytl("train", tiny)
    assert done.code == 130
    assert done.err == "interrupted; run the same command again to resume\n"


def test_what_is_asked_for_reaches_training(raytl: Raytl, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def refused(experiment: Any, **options: Any) -> None:
        asked.update(options, epochs=experiment.train.epochs)
        raise KeyboardInterrupt

    monkeypatch.setattr("raytl.training.driver.train", refused)
    raytl("train", tiny, "--new", "--set", "train.epochs=5")
    assert (asked["new"], asked["epochs"]) == (True, 5)


def test_a_bug_leaves_its_traceback_in_the_run(raytl: Raytl, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    Path("runs/tiny").mkdir(parents=True)
    monkeypatch.setattr("raytl.training.driver.train", broken)
    done = raytl("train", tiny)
    assert done.code == 1
    assert "error: ZeroDivisionError: division by zero\n" in done.err
    assert "see the full traceback in runs/tiny/raytl.log" in done.err
    assert "Traceback" in Path("runs/tiny/raytl.log").read_text()


@pytest.mark.parametrize("verb", ["evaluate"])
def test_a_run_that_is_not_there_is_refused(verb: str, raytl: Raytl) -> None:
    done = raytl(verb, "runs/none")
    assert done.code == 2
    assert "runs/none: no such run folder" in done.err
