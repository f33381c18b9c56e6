"""A filled table comes back: checked as a whole, added to the corrections, never overwriting one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raytl.config.schema import Experiment
from raytl.data.corrections import read_corrections
from raytl.data.formats import scan
from raytl.data.split import apply_splits
from raytl.errors import ConfigError, DataError
from raytl.labelling.fixes import apply_fixes
from raytl.labelling.reviewed import reviewed_keys

NOW = datetime(2026, 11, 29, 17, 50, tzinfo=UTC)
Photos = tuple[Experiment, dict[str, list[str]], list[str]]


@pytest.fixture
def photos(make_photos: Callable[..., Path], tmp_path: Path) -> Photos:
    """An experiment on photos that names a file of corrections, the keys by split, and the classes."""
    folder = make_photos(12)
    values = {"uri": str(folder), "val_fraction": 0.2, "test_fraction": 0.2}
    experiment = Experiment(name="e", data=values, model="m", labels={"relabel": str(tmp_path / "corrections.csv")})
    manifest = scan(str(folder))
    keys: dict[str, list[str]] = {}
    for sample in apply_splits(manifest.samples, experiment.data):
        keys.setdefault(sample.split or "", []).append(sample.key)
    return experiment, keys, list(manifest.classes)


def filled(tmp_path: Path, *rows: str) -> Path:
    file = tmp_path / "fixes.csv"
    file.write_text("\n".join(["key,split,given,suggested,probability,margin,label,who,why", *rows]) + "\n")
    return file


def row(key: str, label: str, who: str = "me", why: str = "seen") -> str:
    return f"{key},train,a,b,0.1,0.5,{label},{who},{why}"


def test_filled_rows_are_recorded_with_who_when_and_why_and_later_ones_are_added(
    photos: Photos, tmp_path: Path
) -> None:
    experiment, keys, classes = photos
    first, second, third = keys["train"][:3]
    given = first.split("/")[0]
    other = next(name for name in classes if name != given)
    done = apply_fixes(experiment, filled(tmp_path, row(first, other), row(second, "-"), row(third, "")), NOW)
    assert (done.relabelled, done.left_out, done.confirmed, done.blank, done.total) == (1, 1, 0, 1, 2)
    before = (tmp_path / "corrections.csv").read_bytes()
    again = apply_fixes(experiment, filled(tmp_path, row(first, given)), NOW)
    assert (again.confirmed, again.replaced, again.total) == (1, 1, 3)
    assert (tmp_path / "corrections.csv").read_bytes().startswith(before)
    stored = read_corrections(str(tmp_path / "corrections.csv"))
    assert [(each.key, each.given, each.label, each.who, each.why) for each in stored] == [
        (first, given, other, "me", "seen"),
        (second, second.split("/")[0], "-", "me", "seen"),
        (first, given, given, "me", "seen"),
    ]
    assert stored[0].when == "2026-11-29T17:50:00+00:00"
    assert reviewed_keys(experiment) == {first, second}


def test_every_problem_is_listed_and_nothing_is_written(photos: Photos, tmp_path: Path) -> None:
    experiment, keys, classes = photos
    train, test = keys["train"], keys["test"][0]
    rows = (
        row("gone.jpg", classes[0]),
        row(test, classes[0]),
        row(train[0], "wolf"),
        row(train[1], classes[0]),
        row(train[1], classes[1]),
        row(train[2], classes[0], who=""),
    )
    with pytest.raises(DataError, match="nothing was recorded") as caught:
        apply_fixes(experiment, filled(tmp_path, *rows), NOW)
    text = str(caught.value)
    for part in (
        "unknown keys",
        "line 2: 'gone.jpg'",
        "test images",
        "line 3",
        "unknown classes",
        "'wolf'",
        "two labels",
        "line 7",
    ):
        assert part in text
    assert not (tmp_path / "corrections.csv").exists()


def test_an_empty_table_a_missing_one_and_an_experiment_without_the_key_are_errors(
    photos: Photos, tmp_path: Path
) -> None:
    experiment, keys, _ = photos
    with pytest.raises(DataError, match="no row has a label"):
        apply_fixes(experiment, filled(tmp_path, row(keys["train"][0], "")), NOW)
    with pytest.raises(DataError, match="No such file"):
        apply_fixes(experiment, tmp_path / "none.csv", NOW)
    without = Experiment(name="e", data=experiment.data, model="m")
    with pytest.raises(ConfigError, match=r"labels\.relabel: not set"):
        apply_fixes(without, filled(tmp_path), NOW)


def test_rows_follow_the_columns_of_the_file(photos: Photos, tmp_path: Path) -> None:
    experiment, keys, classes = photos
    first, second = keys["train"][:2]
    file = tmp_path / "corrections.csv"
    file.write_text(f"who,key,label,why,note,when,given\nshe,{first},{classes[0]},old,x,2026-11-28T10:00:00+00:00,\n")
    apply_fixes(experiment, filled(tmp_path, row(second, "-")), NOW)
    stored = read_corrections(str(file))
    assert [(each.key, each.label, each.who, each.why) for each in stored] == [
        (first, classes[0], "she", "old"),
        (second, "-", "me", "seen"),
    ]
    assert file.read_text().splitlines()[-1].startswith("me,")
