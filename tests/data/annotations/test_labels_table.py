"""Multi-label tables: a column of 0 and 1 for each attribute, or one column of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.data.targets import Labels
from raytl.errors import DataError
from tests.data.annotations import writers


def _read(root: Path, *lines: str) -> Manifest:
    for seed, name in enumerate("abc"):
        writers.image(root / f"{name}.jpg", seed=seed)
    writers.write(root / "labels.csv", "\n".join(lines))
    return scan(str(root / "labels.csv"))


def test_attributes_are_present_absent_or_unknown(tmp_path: Path) -> None:
    manifest = _read(tmp_path, "path,red,round,split", "a.jpg,1,0,train", "b.jpg,,1,val", "c.jpg,-1,true,")
    assert [(sample.target, sample.split) for sample in manifest.samples] == [
        (Labels(("red",)), "train"),
        (Labels(("round",), ("red",)), "val"),
        (Labels(("round",), ("red",)), None),
    ]
    assert manifest.classes == ("red", "round")


def test_names_may_be_joined_in_one_column(tmp_path: Path) -> None:
    manifest = _read(tmp_path, "path,labels", "a.jpg,round|red", "b.jpg,", "c.jpg,red")
    assert [sample.target for sample in manifest.samples] == [Labels(("red", "round")), Labels(()), Labels(("red",))]


def test_a_repeated_row_counts_once_and_a_contradiction_is_an_error(tmp_path: Path) -> None:
    assert len(_read(tmp_path, "path,labels", "a.jpg,red", "a.jpg,red", "b.jpg,round").samples) == 2
    with pytest.raises(
        DataError, match=r"two rows:\n  labels\.csv line 3: 'a\.jpg' has other labels than in labels\.csv line 2"
    ):
        _read(tmp_path, "path,labels", "a.jpg,red", "a.jpg,round")


def test_other_values_than_0_and_1_are_an_error_with_their_line(tmp_path: Path) -> None:
    rows = [f"{name}.jpg,1,0" for name in "ab"] * 600
    with pytest.raises(DataError, match=r"neither 0 nor 1 .*\n  labels\.csv line 1202: red: '2'"):
        _read(tmp_path, "path,red,round", *rows, "c.jpg,2,0")
