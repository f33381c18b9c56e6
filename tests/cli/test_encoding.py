"""Output never fails on a character, whatever the terminal can show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raytl.cli.encoding import in_ascii
from tests.cli.conftest import run_encoded
from tests.conftest import MakePhotos

ENCODINGS = ["ascii", "latin-1", "cp1252", "utf-8"]


def test_marks_of_our_own_have_a_usual_spelling_and_other_characters_an_escape() -> None:
    assert in_ascii("81.0 – 92.4 % … ≤ 3:12 ★ best") == "81.0 - 92.4 % ... <= 3:12 * best"
    assert in_ascii("Käse 猫 🐈 \udcff") == "K\\xe4se \\u732b \\U0001f408 \\udcff"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_check_shows_classes_of_any_script_and_tables_that_the_terminal_can_draw(
    encoding: str, tiny: Path, make_photos: MakePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    make_photos(12, classes=("猫", "Käse", "dog – old"))
    done = run_encoded(monkeypatch, encoding, "check", tiny)
    assert (done.code, done.err.count("Traceback")) == (0, 0)
    shown = done.out + done.err
    assert ("猫" in shown) == (encoding == "utf-8")
    assert ("\\u732b" in shown) == (encoding != "utf-8")
    assert ("─" in shown) == (encoding == "utf-8")
    assert ("dog - old" in shown) == (encoding in ("ascii", "latin-1"))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_text_of_an_error_is_shown_and_its_json_stays_json(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_encoded(monkeypatch, encoding, "check", "猫.yaml")
    assert (done.code, done.err.count("Traceback")) == (2, 0)
    assert ("猫.yaml" if encoding == "utf-8" else "\\u732b.yaml") in done.err
    answer = json.loads(run_encoded(monkeypatch, encoding, "check", "猫 Käse.yaml", "--json").out)
    assert "猫 Käse.yaml" in answer["text"]


@pytest.mark.parametrize("setting", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}])
def test_a_process_of_such_a_terminal_prints_its_help(setting: dict[str, str]) -> None:
    command = [sys.executable, "-m", "raytl", "predict", "--help"]
    done = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Usage: raytl predict" in done.stdout
