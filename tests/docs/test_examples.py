"""Every experiment and every Python example in the README and in docs/ is valid."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import raytl
from raytl import load_experiment
from tests.docs.pages import Block, all_blocks

EXPERIMENTS = all_blocks("yaml")
SCRIPTS = all_blocks("python")
REST = {"name": "name: x\n", "data": "data: {uri: photos}\n", "model": "model: {name: resnet18}\n"}


def completed(text: str) -> str:
    """Return the experiment with the keys that a part of one leaves out."""
    return text + "".join(
        line for key, line in REST.items() if not text.startswith(f"{key}:") and f"\n{key}:" not in text
    )


def strange_names(source: str) -> list[str]:
    """Return what the source takes from raytl that raytl does not have."""
    used = [
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "raytl"
    ]
    return [name for name in used if name not in raytl.__all__]


@pytest.mark.parametrize("block", EXPERIMENTS, ids=lambda block: block.where)
def test_an_experiment_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(completed(block.text), encoding="utf-8")
    load_experiment(path)


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.where)
def test_a_script_names_what_raytl_has(block: Block) -> None:
    assert not strange_names(block.text)


def test_there_are_examples_of_both_kinds() -> None:
    assert len(EXPERIMENTS) >= 4
    assert len(SCRIPTS) >= 2


def test_a_name_that_raytl_does_not_have_is_found() -> None:
    assert strange_names("import raytl\nraytl.train(1)\nraytl.fly(2)\n") == ["fly"]
