from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from raytl.config.schema import ColumnRole
from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.errors import DataError

ROLES: Mapping[str, ColumnRole] = {"site": "group", "camera": "slice"}


def _table(tmp_path: Path, text: str, name: str = "photos.csv") -> str:
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def _scan(uri: str, columns: Mapping[str, ColumnRole] = ROLES) -> Manifest:
    return scan(uri, columns=columns)


GOOD = "path,label,Site,camera\n0.png,cat,north,A\n1.png,dog,north,\n2.png,cat,south,B\n3.png,dog,south,A\n"


def test_the_values_of_the_columns_are_those_of_the_samples(tmp_path: Path) -> None:
    found = {sample.key: sample.columns for sample in _scan(_table(tmp_path, GOOD)).samples}
    assert found["0.png"] == (("site", "north"), ("camera", "A"))
    assert found["1.png"] == (("site", "north"), ("camera", ""))
    assert found["3.png"] == (("site", "south"), ("camera", "A"))


def test_without_columns_samples_are_as_before(tmp_path: Path) -> None:
    manifest = scan(_table(tmp_path, GOOD))
    assert manifest.samples.columns is None
    assert all("columns" not in sample.record() for sample in manifest.samples)


def test_jsonl_and_other_spellings_of_paths_are_read(tmp_path: Path) -> None:
    rows = [
        '{"path": "./0.png", "label": "a", "site": 1.0, "camera": null}',
        '{"path": "sub/../1.png", "label": "b", "site": 2, "camera": "X"}',
        f'{{"path": "{tmp_path}/2.png", "label": "a", "site": 2, "camera": "Y"}}',
    ]
    found = {each.key: dict(each.columns) for each in _scan(_table(tmp_path, "\n".join(rows), "p.jsonl")).samples}
    assert found["0.png"] == {"site": "1", "camera": ""} and found["1.png"]["camera"] == "X"
    assert found["2.png"] == {"site": "2", "camera": "Y"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            GOOD.replace("Site", "sites"),
            r"data.columns, auxiliary.columns: the table has no column 'site' \(did you mean 'sites'\?\); expected one of 'path', 'label'",
        ),
        (
            GOOD.replace("south", "north"),
            r"(?s)data.columns, auxiliary.columns cannot be used.*site \(group\): every row has 'north'",
        ),
        (GOOD.replace("cat,north", "cat,"), r"1 rows with an empty group .*\n.*photos.csv line 2: site"),
        (GOOD.replace(",B\n", f",{'x' * 201}\n"), r"more than 200 characters.*\n.*line 4: camera"),
        (
            GOOD + "0.png,cat,south,A\n",
            r"different values.*\n.*line 6: '0.png' has other values than in photos.csv line 2",
        ),
    ],
    ids=["missing", "one group", "empty group", "long", "conflict"],
)
def test_a_column_that_cannot_be_used_is_named_with_its_rows(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(DataError, match=error) as raised:
        _scan(_table(tmp_path, text))
    assert raised.value.exit_code == 2


def test_a_group_in_two_given_splits_is_an_error_with_both_rows(tmp_path: Path) -> None:
    text = "path,label,split,site,camera\n0.png,a,train,n,A\n1.png,b,train,s,A\n2.png,a,val,n,B\n3.png,b,test,t,B\n"
    with pytest.raises(
        DataError, match=r"(?s)1 groups in two of the given splits.*site 'n': train \(.*line 2\) and val \(.*line 4\)"
    ):
        _scan(_table(tmp_path, text))
    assert len(_scan(_table(tmp_path, text.replace("val,n", "val,t2"))).samples) == 4


def test_a_folder_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.columns: .* has no columns; expected a .csv"):
        _scan(str(tmp_path))
