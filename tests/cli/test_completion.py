"""What a shell offers: keys after `--set`, the words that a key accepts, and runs; by the protocol of the completion scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raytl.cli.main import app
from tests.catalog.conftest import put_run


def offered(*words: str) -> list[str]:
    """What bash is offered for the last word."""
    environment = {
        "_RAYTL_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("raytl", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = CliRunner().invoke(app, [], prog_name="raytl", env=environment, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout.split()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("verb", ["check", "train", "tune", "retrain"])
def test_keys_of_the_experiment_are_offered_after_set(verb: str) -> None:
    assert offered(verb, "x.yaml", "--set", "optim.l") == ["optim.lr="]
    assert "retrain.gate.metric=" in offered(verb, "x.yaml", "--set", "retrain.gate.m")


def test_only_settings_of_a_machine_are_offered_where_only_they_count() -> None:
    assert "storage.profile=" in offered("predict", "runs/x", "photos", "--set", "storage.p")
    assert offered("predict", "runs/x", "photos", "--set", "optim.l") == []


def test_the_words_that_a_key_accepts_are_offered_after_the_equals_sign() -> None:
    environment = {
        "_RAYTL_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": "raytl train x.yaml --set train.precision=",
    }
    done = CliRunner().invoke(app, [], prog_name="raytl", env=environment)
    assert done.stdout.split() == [f"train.precision={word}" for word in ("auto", "fp32", "bf16", "fp16")]
    environment["_TYPER_COMPLETE_ARGS"] = "raytl train x.yaml --set train.deterministic=t"
    assert CliRunner().invoke(app, [], prog_name="raytl", env=environment).stdout.split() == [
        "train.deterministic=true"
    ]


def test_keys_are_explained_where_the_shell_shows_it() -> None:
    environment = {"_RAYTL_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "raytl train x.yaml --set train.epoch"}
    done = CliRunner().invoke(app, [], prog_name="raytl", env=environment)
    assert '"train.epochs=":"' in done.stdout


def test_runs_are_offered_by_name_and_by_folder() -> None:
    for name in ("runs/trash", "runs/trash-deep", "elsewhere/other"):
        put_run(name)
    Path("runs/empty").mkdir()
    assert offered("evaluate", "") == ["runs/trash", "runs/trash-deep"]
    assert offered("evaluate", "runs/trash-") == ["runs/trash-deep"]
    assert offered("compare", "runs/trash", "runs/tr") == ["runs/trash", "runs/trash-deep"]
    assert offered("predict", "elsewhere/") == ["elsewhere/other"]
    assert offered("evaluate", "s3://bucket/") == []
    assert offered("evaluate", "nothing") == []


@pytest.mark.parametrize("name", ["$(touch x)", "\\$(touch x)", "a'b", 'a"b', "a`b`", "a;b", "a b", "a\nb", "-x y"])
def test_a_name_that_a_shell_would_evaluate_is_not_offered(name: str) -> None:
    put_run(f"runs/{name}")
    assert offered("evaluate", "") == []


def test_completion_is_installed_for_the_shell(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "raytl", "--install-completion", "bash"]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert "bash completion installed" in done.stdout
    scripts = [path for path in tmp_path.rglob("*") if path.is_file() and "_RAYTL_COMPLETE" in path.read_text()]
    assert scripts
