"""Every experiment file that is shipped can be loaded, and is named as its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl import load_experiment

REPO = Path(__file__).resolve().parents[2]
FILES = sorted((REPO / "experiments").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REPO / "experiments").as_posix())
def test_a_shipped_experiment_file_loads(path: Path) -> None:
    assert load_experiment(path).name.endswith(path.stem)


def test_there_are_experiment_files() -> None:
    assert {path.name for path in FILES} >= {"trash-mobilenetv2.yaml", "trash-vit-tiny.yaml", "signs-mobilenetv2.yaml"}
