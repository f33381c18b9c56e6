"""A command line in this process, and a small experiment to run it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raytl.cli.main import app


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Raytl = Callable[..., Ended]


@pytest.fixture
def raytl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raytl:
    """Runs `raytl WORDS...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")

    def run(*words: str | Path) -> Ended:
        done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        return Ended(done.exit_code, done.stdout, done.stderr)

    return run


TINY = """\
name: tiny
data: {uri: photos}
model: {name: test_resnet, weights: none, preprocess: {image_px: 32}}
transfer: {unfreeze: 1, head_first: 1 epoch}
train: {epochs: 2, batch_size: 8, precision: fp32}
compute: {cluster: none, device: cpu}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small experiment's file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
