"""`raytl compare`: two runs side by side, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.catalog.conftest import SAMPLES, put, put_report, put_run, samples
from tests.cli.conftest import Raytl

OLD = {f"k{n:02d}": ("ab"[n % 2], "a") for n in range(20)}
NEW = {key: (true, true) for key, (true, _) in OLD.items()}


def test_what_differs_is_shown_with_the_paired_test(raytl: Raytl) -> None:
    more = [*SAMPLES[1:], *samples(("c/\x1b[31m9", "c", "train"), ("a/1", "b", "train"))]
    put_run("runs/one")
    put_run("runs/two", experiment={"optim": {"lr": 0.1}}, samples=more)
    put_report("runs/one", OLD)
    put_report("runs/two", NEW)
    done = raytl("compare", "runs/one", "runs/two")
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    for words in (
        "optim.lr 0.001 0.1",
        "images 4 -> 5",
        "added 1: c/",
        "relabelled 1: a/1 (a -> b)",
        "balanced accuracy 75.0 % 75.0 %",
        "paired test on the test split, second run against first",
        "accuracy +50.0 points +50.0 to +50.0 10 0 0.00098 1",
    ):
        assert words in text
    assert "\x1b" not in done.out


def test_what_is_the_same_and_why_there_is_no_test_are_said(raytl: Raytl) -> None:
    put_run("runs/one")
    done = raytl("compare", "runs/one", "runs/one")
    assert "config: the same\n" in done.out
    assert "data: the same snapshot " in done.out
    assert "no paired test: the runs have no reports on the same split" in done.out


def test_programs_get_one_object(raytl: Raytl) -> None:
    put_run("runs/one")
    put_run("runs/two", (0.9,))
    found = json.loads(raytl("compare", "runs/one", "runs/two", "--json").out)
    assert found["validation"] == {"val/balanced_accuracy": [0.75, 0.9]}
    assert (found["config"], found["tests"]) == ([], [])


def test_what_is_no_run_is_exit_code_2(raytl: Raytl) -> None:
    put_run("runs/one")
    done = raytl("compare", "runs/one", "runs")
    assert (done.code, done.out) == (2, "")
    assert "runs: no run is there" in done.err


def test_brackets_in_names_are_no_markup(raytl: Raytl) -> None:
    put_run("runs/[/one]")
    put_run("runs/two")
    manifest = json.loads(Path("runs/[/one]/manifest.json").read_text())
    manifest["summary"]["metrics"]["val/[link=evil:x]accuracy[red]"] = 0.5
    put("runs/[/one]", {"manifest.json": manifest})
    done = raytl("compare", "runs/[/one]", "runs/two")
    assert done.code == 0, done.err
    assert "runs/[/one]" in done.out
    assert "[link=evil:x]accuracy[red]" in done.out
