"""What becomes of errors: their text and an exit code for users, a traceback in a file for us."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from rich.text import Text

from raytl.cli.terminal import INTERRUPTED, Terminal, error_text, guarded
from raytl.errors import ConfigError, RaytlError, Unavailable
from raytl.sanitize import command

Fail = Callable[[], None]


def fail_with(error: BaseException, json_: bool = False, log: Path | None = None) -> int:
    """The exit code of a command that fails."""
    terminal = Terminal.open(json_)
    with (
        pytest.raises(typer.Exit, match="^.*$") as caught,
        guarded(terminal, log, "interrupted; do it again"),
    ):
        raise error
    return int(caught.value.exit_code)


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("a\n  -> b"), 2), (Unavailable("x"), 1), (RaytlError("y"), 1)]
)
def test_an_error_is_its_text_and_its_class_the_exit_code(
    error: RaytlError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {error}\n"


def test_an_error_is_an_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(ConfigError("größe"), json_=True)
    assert json.loads(capsys.readouterr().out) == {"error": "ConfigError", "text": "größe"}


def test_ctrl_c_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(KeyboardInterrupt()) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted; do it again\n"


def test_an_unforeseen_error_leaves_its_traceback_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "raytl.log"
    assert fail_with(ZeroDivisionError("division\nby zero"), log=log) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ZeroDivisionError: division\nUnexpected error; see the full traceback in ")
    assert err.rstrip().endswith(str(log))
    assert "Traceback" not in err
    assert "Traceback (most recent call last)" in log.read_text()


def test_a_full_disk_is_no_surprise(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(OSError(28, "No space left on device", "runs/x/state.json")) == 1
    assert capsys.readouterr().err == (
        "error: runs/x/state.json: the disk is full; expected enough space free. "
        "Free some space and run the same command again.\n"
    )


def test_too_little_memory_is_no_surprise(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore")) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: out of memory (CUDA out of memory. Tried to allocate 2.00 GiB.); expected enough")
    assert "train.accumulate" in err and "traceback" not in err


def test_without_a_run_the_traceback_goes_to_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fail_with(ValueError(), log=tmp_path / "no" / "raytl.log")
    (place,) = tmp_path.iterdir()
    assert str(place) in capsys.readouterr().err
    assert "ValueError" in place.read_text()


def test_an_exit_is_left_alone() -> None:
    with pytest.raises(typer.Exit, match="^.*$") as caught, guarded(Terminal.open()):
        raise typer.Exit(7)
    assert caught.value.exit_code == 7


def test_the_first_line_and_the_advice_stand_out() -> None:
    text = error_text("x.yaml: 1 problem\n  x.yaml:3: bad\n    -> mend it")
    assert text.plain == "error: x.yaml: 1 problem\n  x.yaml:3: bad\n    -> mend it"
    assert {str(span.style) for span in text.spans} >= {"bold red", "red"}


def test_the_next_command_is_one_line_however_narrow_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    Terminal.open().show(
        Text(f"next: {command('raytl', 'train', 'an experiment.yaml', *['--set', 'data.uri=x #2'] * 3)}")
    )
    assert len(capsys.readouterr().out.splitlines()) == 1
