"""The command line as a whole: help, version, wrong usage, and how quickly it answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raytl.cli.main import EXAMPLES, VERBS, main
from raytl.run.provenance import version
from tests.cli.conftest import Raytl

REPO = Path(__file__).resolve().parents[2]

FIVE = """\
name: trash
data: {uri: photos, val_fraction: 15}
model: {name: resnet18, weigths: pretrained}
transfer: {unfreeze: two}
train: {precision: fp23, accumulate: 100, batch_size: 64}
"""


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help_with_an_example(verb: str, raytl: Raytl) -> None:
    done = raytl(*verb.split(), "--help")
    assert done.code == 0
    assert " ".join(EXAMPLES[verb].split()) in " ".join(done.out.split())
    assert "--json" in done.out


def test_help_shows_flags_without_a_value_and_paragraphs_without_line_breaks(
    raytl: Raytl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = raytl("train", "--help")
    assert "<bool>" not in done.out
    assert "Run the same command again to resume an interrupted run." in done.out


def test_no_verb_is_help(raytl: Raytl) -> None:
    done = raytl()
    assert all(verb.split()[0] in done.out + done.err for verb in VERBS)


def test_the_version_is_printed(raytl: Raytl) -> None:
    done = raytl("--version")
    assert (done.code, done.out) == (0, f"raytl {version('raytl') or '(not installed)'}\n")


@pytest.mark.parametrize(
    "words", [["train"], ["fly"], ["check", "x.yaml", "--fast"], ["evaluate", "r", "--split", "x"]]
)
def test_wrong_usage_is_exit_code_2(words: list[str], raytl: Raytl) -> None:
    done = raytl(*words)
    assert done.code == 2
    assert "Error" in done.err
    assert done.out == ""


def test_five_mistakes_are_reported_at_once_without_torch_or_ray(tmp_path: Path) -> None:
    path = tmp_path / "five.yaml"
    path.write_text(FIVE)
    code = "import sys; sys.argv[0] = 'raytl'; import raytl.__main__ as m\ntry: m.main()\n"
    code += "finally: print(*{'torch', 'ray', 'timm', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", str(path)],
        cwd=REPO,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.strip() == ""
    assert [line.split(": ")[1] for line in done.stderr.splitlines() if line.startswith("  " + str(path))] == [
        "data.val_fraction",
        "model.weigths",
        "transfer.unfreeze",
        "train.precision",
        "train.accumulate",
    ]
    assert done.stderr.count("    -> ") == 5


def test_main_is_the_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["raytl", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out.startswith("raytl ")
