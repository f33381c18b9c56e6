from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raytl.errors import UserError
from raytl.tasks.classification.table import Predictions, as_csv
from raytl.tasks.judgement import Judgement

ODD = ("a b.jpg", 'quo"te,comma.png', "new\nline.jpg", "return\rline.jpg", "both\r\n.jpg", "ünï ガ.webp", " lead.jpg")
CLASSES = ("cat", 'the "dog", big', "line\nbreak")


def _found(paths: tuple[str, ...] = ODD) -> Predictions:
    table = np.random.default_rng(0).dirichlet(np.ones(3), len(paths))
    return Predictions(paths, CLASSES, table, (), "abc")


def test_csv_round_trips_odd_names(tmp_path: Path) -> None:
    found = _found()
    found.write(tmp_path / "out" / "p.CSV")
    with (tmp_path / "out" / "p.CSV").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "predicted", *(f"p_{name}" for name in CLASSES)]
    assert [row[0] for row in rows] == list(ODD)
    assert [row[1] for row in rows] == list(found.predicted)
    np.testing.assert_allclose([[float(cell) for cell in row[2:]] for row in rows], found.probabilities, rtol=1e-5)


def test_plain_names_are_written_without_quotes() -> None:
    found = Predictions(("a.jpg",), ("x", "y"), np.array([[0.25, 0.75]]), (), "")
    assert as_csv(found) == b"path,predicted,p_x,p_y\na.jpg,y,0.25,0.75\n"


def test_parquet_round_trips_odd_names_and_exact_probabilities(tmp_path: Path) -> None:
    found = _found()
    found.write(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["path", "predicted", *(f"p_{name}" for name in CLASSES)]
    assert table.column("path").to_pylist() == list(ODD)
    assert table.to_pylist() == found.rows


def test_names_that_are_not_utf8_are_written_too(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    found = _found((name,))
    assert b"\ncaf\xe9.jpg," in as_csv(found)
    found.write(tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet").column("path").to_pylist() == ["caf\\xe9.jpg"]


def test_no_photos_make_a_table_of_its_header(tmp_path: Path) -> None:
    found = Predictions((), CLASSES, np.empty((0, 3)), (), "")
    found.write(tmp_path / "p.csv")
    found.write(tmp_path / "p.parquet")
    assert (tmp_path / "p.csv").read_text().startswith("path,predicted,p_cat,")
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 0


@pytest.mark.parametrize("name", ["p.xlsx", "p"])
def test_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected \.csv or \.parquet"):
        _found().write(tmp_path / name)


def test_a_folder_as_the_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        _found().write(tmp_path / "p.csv")


def test_judgements_are_columns_beside_the_class(tmp_path: Path) -> None:
    judgements = (
        Judgement(("cat", CLASSES[1]), answered=True, unfamiliar=False, counts_as={"cat": True}),
        Judgement((), answered=False, unfamiliar=True, counts_as={"cat": False}),
    )
    found = Predictions(("a.jpg", "b.jpg"), CLASSES, np.full((2, 3), 1 / 3), (), "", judgements=judgements)
    assert list(found.rows[0])[:6] == ["path", "predicted", "answered", "set", "unfamiliar", "is_cat"]
    assert found.rows[0]["set"] == ["cat", CLASSES[1]] and found.rows[1]["unfamiliar"] is True
    found.write(tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet").to_pylist() == found.rows
    found.write(tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[row[name] for name in ("answered", "set", "unfamiliar", "is_cat")] for row in rows] == [
        ["true", f"cat|{CLASSES[1]}", "false", "true"],
        ["false", "", "true", "false"],
    ]
    header, cells = found.preview(2)
    assert header == ("photo", "predicted", "answered", "set", "unfamiliar", "is_cat", "probability")
    assert cells[1][2:] == ("false", "–", "true", "false", "33.3 %")


def test_judgements_that_were_not_asked_for_are_no_columns() -> None:
    found = Predictions(("a.jpg",), ("x", "y"), np.array([[0.25, 0.75]]), (), "", judgements=(Judgement(("y",)),))
    assert as_csv(found) == b"path,predicted,set,p_x,p_y\na.jpg,y,y,0.25,0.75\n"
