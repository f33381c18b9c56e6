"""The README's minute in the command line and in Python, as it stands there, on a small experiment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raytl.config.load import load_experiment
from tests.cli.conftest import TINY, Raytl
from tests.conftest import MakePhotos
from tests.docs.pages import README, Block, blocks, commands
from tests.search.cheap import make_cheap

PRETRAINED = 'model="mobilenetv2_100"'
TINY_MODEL = """model={"name": "test_resnet", "weights": "none"}, train={"epochs": 2, "batch_size": 8}, compute={"cluster": "none"}"""
"""No hub is needed, and every line runs."""
SMALL = ("--set", "search.trials=2", "--set", "search.views=1", "--set", "search.replicates.top=0")


def minute(what: str) -> list[Block]:
    """Return the blocks of a section of the README."""
    before, _, _ = README.read_text(encoding="utf-8").partition(f"\n## 60 seconds: {what}\n")
    start = before.count("\n")
    later = [block for block in blocks(README) if block.line > start]
    return [block for block in later if block.language != "yaml"][:1]


@pytest.mark.slow
def test_the_minute_works(
    raytl: Raytl,
    make_photos: MakePhotos,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_cheap(monkeypatch)
    make_photos(per_class=12)
    [block] = minute("the command line")
    for command in commands(block):
        _, *words = command.words
        done = raytl(*words, *(SMALL if words[0] == "tune" else ()))
        assert done.code == 0, done.err
        if words[0] == "init":
            assert load_experiment("trash.yaml").name == "photos"
            (tmp_path / "trash.yaml").write_text(TINY.replace("name: tiny", "name: photos"))
    assert (tmp_path / "predictions.csv").exists()
    assert (tmp_path / "runs" / "photos-sweep" / "report.html").exists()

    [script] = minute("Python")
    assert PRETRAINED in script.text
    shutil.copy(next((tmp_path / "photos").rglob("*.jpg")), tmp_path / "photo.jpg")
    exec(compile(script.text.replace(PRETRAINED, TINY_MODEL), script.where, "exec"), {})
    accuracy, label = capsys.readouterr().out.splitlines()
    assert 0.0 <= float(accuracy) <= 1.0
    assert label in {"blue", "green", "red"}


def test_the_minute_has_a_command_for_each_step() -> None:
    [block] = minute("the command line")
    assert [command.words[1] for command in commands(block)] == [
        "init", "check", "train", "evaluate", "predict", "tune", "compare",
    ]  # fmt: skip
