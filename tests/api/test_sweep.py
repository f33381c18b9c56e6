"""A sweep as a value: its best trial, its table and its winner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import raytl
from raytl.api.sweep import read_rows, trial_of
from raytl.errors import RunError
from tests.api.conftest import Story


def test_a_sweep_holds_its_trials_its_best_and_its_winner(story: Story) -> None:
    sweep = story.sweep
    assert (sweep.status, sweep.metric) == ("finished", "val/balanced_accuracy")
    trials = sweep.trials
    assert list(trials["number"]) == [0, 1, 2]
    assert sweep.best.value == trials["value"].max()
    assert "transfer.unfreeze" in sweep.best.overrides
    assert sweep.winner.path == story.folder / "runs" / "toy-winner"
    assert sweep.winner.status == "trained"
    assert Path(sweep.report).is_file()


def test_the_winner_is_evaluated_and_loaded_as_any_run(story: Story) -> None:
    assert story.sweep.winner.evaluate(split="val", progress=False).subject.run == "toy-winner"
    assert raytl.load(story.sweep.winner).classes == ("blue", "green", "red")


def test_tuning_again_returns_the_same_sweep(story: Story) -> None:
    again = raytl.tune(story.experiment, trials=3, progress=False)
    assert again.status == "already finished"
    assert (again.rows, again.best) == (story.sweep.rows, story.sweep.best)


def test_its_text_and_its_html_show_the_best(story: Story) -> None:
    assert "3 trials, best val/balanced_accuracy" in repr(story.sweep)
    page = story.sweep._repr_html_()
    assert page.count("<tr>") == 4
    assert page.index(f"<td>{story.sweep.best.number}</td>") < page.index("</tr>", page.index("</tr>") + 1)
    hostile = replace(story.sweep, reason="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in hostile._repr_html_()


def test_rows_have_numbers_and_none_for_empty_cells(tmp_path: Path) -> None:
    file = tmp_path / "trials.csv"
    file.write_text(
        "number,state,optim.lr,transfer.unfreeze,value,best_epoch,epochs,seconds,trainable,features,source,reason,folder\n"
        "0,complete,0.001,all,0.5,2,3,1.5,10,none,sampler,,x\n"
        '1,failed,1e-05,2,,,0,0.5,10,none,sampler,"out of memory, twice",x\n'
    )
    first, second = map(trial_of, read_rows(file))
    assert first.overrides == {"optim.lr": 0.001, "transfer.unfreeze": "all"}
    assert (first.value, first.best_epoch, second.value, second.best_epoch) == (0.5, 2, None, None)
    assert second.overrides == {"optim.lr": 1e-05, "transfer.unfreeze": 2}


@pytest.mark.parametrize(
    "line",
    [
        b"0,complete,0.5,2,3,1.5,10,none,sampler,,x,one cell more",
        b"zero,complete,0.5,2,3,1.5,10,none,sampler,,x",
        b"0,complete,=1+1,2,3,1.5,10,none,sampler,,x",
        b"0,complete,0.5,2,3,1.5,10,none,sampler,\xff,x",
        b"0,complete,0.5,2,3,1.5,10,none,sampler," + b"x" * 200_000 + b",x",
    ],
)
def test_a_damaged_table_is_an_error_that_names_it(line: bytes, tmp_path: Path) -> None:
    head = b"number,state,value,best_epoch,epochs,seconds,trainable,features,source,reason,folder\n"
    (tmp_path / "trials.csv").write_bytes(head + line + b"\n")
    with pytest.raises(RunError, match=r"trials.csv: .*expected the trials of a sweep"):
        read_rows(tmp_path / "trials.csv")
