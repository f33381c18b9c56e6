"""A command line in this process, and a small experiment to run it on."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raytl.cli.main import app, main


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


def run_encoded(monkeypatch: pytest.MonkeyPatch, encoding: str, *words: str | Path) -> Ended:
    """Run `raytl WORDS...` as a process does, on streams of an encoding that are as strict as standard output."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr("sys.argv", ["raytl", *map(str, words)])
        patch.setattr("sys.stdout", streams[0])
        patch.setattr("sys.stderr", streams[1])
        with pytest.raises(SystemExit, match=r"^\d+$") as ended:
            main()
    for stream in streams:
        stream.flush()
    texts = [stream.buffer.getvalue().decode(encoding) for stream in streams]  # type: ignore[attr-defined]
    return Ended(int(str(ended.value)), *texts)


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
