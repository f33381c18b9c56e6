"""A sample's side depends on its own key, and the test is out of reach."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from raytl.config.schema import DataConfig
from raytl.data.manifest import Sample
from raytl.data.split import LockedSplit, apply_splits, assign, divide, position
from raytl.errors import DataError


def samples(count: int, label: str = "cat", split: str | None = None, folder: str = "") -> list[Sample]:
    keys = [f"{folder}{label}/{i}.jpg" for i in range(count)]
    return [Sample(key, f"/{key}", label, split) for key in keys]


def sides(found: tuple[Sample, ...]) -> dict[str, str | None]:
    return {sample.key: sample.split for sample in found}


@dataclass(frozen=True)
class Entry:
    look: int


def test_fractions_are_held_in_every_class() -> None:
    assigned = assign([*samples(2000, "cat"), *samples(2000, "dog")], 0.15, 0.2)
    for label in ("cat", "dog"):
        share = Counter(sample.split for sample in assigned if sample.label == label)
        assert share["val"] / 2000 == pytest.approx(0.15, abs=0.03)
        assert share["test"] / 2000 == pytest.approx(0.20, abs=0.03)


def test_nobody_changes_side_when_others_come_go_or_are_relabeled() -> None:
    before = sides(assign(samples(300), 0.15, 0.15))
    relabeled = [Sample(s.key, s.path, "dog") for s in samples(300)]
    for grown in ([*samples(900), *samples(50, "dog")], samples(100), relabeled):
        after = sides(assign(grown, 0.15, 0.15))
        assert all(after[key] == before[key] for key in before.keys() & after.keys())


def test_a_larger_val_takes_from_train_only() -> None:
    before, after = (sides(assign(samples(500), val, 0.2)) for val in (0.1, 0.3))
    moved = {(before[key], after[key]) for key in before if before[key] != after[key]}
    assert moved == {("train", "val")}


def test_the_place_of_a_key_is_the_same_for_ever() -> None:
    assert position("cat/1.jpg") == pytest.approx(0.38784836, abs=1e-8)
    assert position("café/1.jpg") == position("cafe\u0301/1.jpg")
    assert 0 <= position("bad-\udcff.jpg") < 1


def test_given_splits_are_kept_and_a_missing_one_is_taken_from_train() -> None:
    given = [*samples(300, split="train", folder="train/"), *samples(20, split="val", folder="val/")]
    assigned = assign(given, 0.5, 0.2)
    assert Counter(s.split for s in assigned if s.key.startswith("val/")) == {"val": 20}
    share = Counter(s.split for s in assigned if s.key.startswith("train/"))
    assert set(share) == {"train", "test"}
    assert share["test"] / 300 == pytest.approx(0.2, abs=0.07)
    whole = [*given, *samples(5, split="test", folder="test/")]
    assert assign(whole, 0.5, 0.2) == tuple(whole)


def test_rows_without_a_split_beside_given_ones_train() -> None:
    given = [*samples(4), *samples(4, split="val", folder="v/"), *samples(4, split="test", folder="t/")]
    assert Counter(s.split for s in assign(given, 0.15, 0.15)) == {"train": 4, "val": 4, "test": 4}


def test_assigning_again_changes_nothing() -> None:
    once = assign([*samples(100), *samples(1, "dog"), *samples(2, "fox")], 0.3, 0.3)
    assert assign(once, 0.3, 0.3) == once


def test_a_class_of_one_image_trains() -> None:
    lonely = [Sample(f"{i}/1.jpg", "", str(i)) for i in range(50)]
    assert Counter(s.split for s in assign(lonely, 0.3, 0.3)) == {"train": 50}


def test_fractions_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(DataError, match=r"val_fraction 0.5 \+ data.test_fraction 0.6 leave no training data"):
        assign(samples(10), 0.5, 0.6)


def test_the_sides_are_divided_and_classes_are_those_of_train() -> None:
    splits = divide(assign([*samples(200, "dog"), *samples(200, "cat")], 0.2, 0.2))
    assert splits.classes == ("cat", "dog")
    assert len(splits.train) + len(splits.val) + splits.test.count == 400
    assert splits.counts()["test"] == {"": splits.test.count}
    assert sum(splits.counts()["train"].values()) == len(splits.train)
    assert splits.warnings == ()


def test_thin_data_is_warned_about() -> None:
    given = [*samples(3, "a", "train"), *samples(1, "b", "train"), *samples(3, "a", "val", "v/")]
    assert divide(given).warnings == (
        "1 classes have only one training image:\n  'b'",
        "val has no images of 1 of 2 classes:\n  'b'",
        "test is empty, so nothing can be evaluated on it",
    )


def test_every_problem_of_the_splits_comes_at_once() -> None:
    given = [*samples(3, "a", "train"), *samples(2, "b", "val"), *samples(1, "c\n", "test")]
    with pytest.raises(DataError, match="the splits cannot be used:") as caught:
        divide(given)
    text = str(caught.value)
    assert "train has 1 class(es) ['a']; expected two or more" in text
    assert "val has 1 classes that train lacks (train has 1: 'a'):\n  'b' (2 images)" in text
    assert "test has 1 classes that train lacks" in text
    assert "'c\\n' (1 images)" in text
    assert text.count("Add training images for them, fix their names, or remove them from") == 2


def test_an_empty_val_is_refused() -> None:
    given = [*samples(3, "a", "train"), *samples(3, "b", "train")]
    with pytest.raises(DataError, match=r"val is empty, .* raise data.val_fraction or add val images"):
        divide(given)


def test_the_locked_split_shows_a_count_and_a_digest_only() -> None:
    locked = LockedSplit(samples(3, split="test"))
    assert repr(locked) == f"LockedSplit(3 samples, {locked.digest[:12]})"
    assert not hasattr(locked, "samples")
    assert not hasattr(locked, "__iter__")
    assert locked.unlock(Entry(1)) == tuple(samples(3, split="test"))
    with pytest.raises(AssertionError, match="counted from 1"):
        locked.unlock(Entry(0))


def test_the_locked_split_does_not_travel() -> None:
    with pytest.raises(TypeError, match="the test split is locked and stays on the driver"):
        pickle.dumps(LockedSplit(samples(3)))


def test_sides_that_were_written_down_count_for_more_than_the_hash(tmp_path: Path) -> None:
    these = [Sample(f"{name}/{i}.jpg", "", name) for name in ("a", "b") for i in range(3)]
    rows = [
        {"key": "a/0.jpg", "split": "test"},
        {"key": "a/1.jpg", "split": "val"},
        {"key": "b/1.jpg", "split": "train"},
    ]
    path = tmp_path / "sides.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = apply_splits(these, DataConfig(uri="x", split_file=str(path)))
    assert [(s.key, s.split) for s in found] == [("a/0.jpg", "test"), ("a/1.jpg", "val"), ("b/1.jpg", "train")]
    path.write_text(json.dumps({"key": "cafe\u0301/0.jpg", "split": "val"}))  # as macOS spells it
    assert len(apply_splits([Sample("caf\u00e9/0.jpg", "", "a")], DataConfig(uri="x", split_file=str(path)))) == 1
    path.write_text("a/0.jpg,test")
    with pytest.raises(DataError, match="cannot be read as a line of key and split"):
        apply_splits(these, DataConfig(uri="x", split_file=str(path)))
    path.write_text(json.dumps({"key": "c/0.jpg", "split": "test"}))
    with pytest.raises(DataError, match="lists none of the 6 images"):
        apply_splits(these, DataConfig(uri="x", split_file=str(path)))


def test_classes_that_are_not_names_are_not_compared_between_the_splits() -> None:
    given = [*samples(1, "1.5", "train"), *samples(1, "2.5", "val", "v/"), *samples(1, "9", "test", "t/")]
    splits = divide(given, lambda train: ("value",))
    assert splits.classes == ("value",) and splits.warnings == ()
    assert splits.images == {"train": 1, "val": 1, "test": 1}
    assert splits.counts() == {"train": {}, "val": {}, "test": {"": 1}}


def test_what_the_classes_cannot_be_learned_from_is_a_problem_of_the_splits() -> None:
    def refuse(train: object) -> tuple[str, ...]:
        raise DataError("2 labels are not numbers")

    with pytest.raises(DataError, match="the splits cannot be used:\n2 labels are not numbers"):
        divide(samples(3, "a", "train"), refuse)
