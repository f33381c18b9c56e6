"""`raytl collect`: choose, then take labels back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raytl.cli.main import app
from raytl.store.local import LocalStore
from tests.feedback.made import filled, write_csv


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "feedback")
    filled(store, 20)
    return store


def run(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["collect", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_images_are_chosen_and_labels_return(store: LocalStore, tmp_path: Path) -> None:
    out = tmp_path / "to_label.csv"
    code, text, errors = run(
        store.root, "--budget", 8, "--random-share", 0.5, "--out", out, "--set", "storage.profile=mine"
    )
    assert code == 0, errors
    assert "8 images: 4 random, 4 uncertain" in text
    assert f"feedback --set storage.profile=mine --labels {out}".replace(" ", "") in "".join(text.split())
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    write_csv(out, [(row["photo"], row["suggested"]) for row in rows])
    code, text, errors = run(store.root, "--labels", out)
    assert code == 0, errors
    assert "8 images, of which 0 changed" in text
    assert "version 1: accuracy in use 100.0 % (39.8 to 100.0 %, 95 %), from 4 random images" in text


def test_json_has_the_result(store: LocalStore, tmp_path: Path) -> None:
    code, text, _ = run(store.root, "--budget", 2, "--out", tmp_path / "x.csv", "--json")
    assert code == 0 and json.loads(text)["records"] == 20


def test_labels_and_a_budget_are_two_things(store: LocalStore, tmp_path: Path) -> None:
    code, _, errors = run(store.root, "--labels", tmp_path / "x.csv", "--budget", 3)
    assert code == 2 and "--budget chooses images" in errors


def test_wrong_labels_exit_with_2_and_store_nothing(store: LocalStore, tmp_path: Path) -> None:
    code, _, errors = run(store.root, "--labels", write_csv(tmp_path / "x.csv", [("nothing", "a")]))
    assert code == 2 and "not in the prefix" in errors
    assert not list(store.list("labels/"))


def test_a_prefix_without_records_says_so(tmp_path: Path) -> None:
    code, _, errors = run(tmp_path / "empty", "--out", tmp_path / "x.csv")
    assert code == 2 and "no records" in errors
