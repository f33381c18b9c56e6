"""Every command in the README and in docs/ is one that exists: its options, its keys, its files and its modules."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from raytl.cli.main import app
from raytl.config import shape
from tests.docs.pages import PAGES, README, REPO, Command, all_blocks, blocks, commands, inline_commands

COMMANDS = [command for block in all_blocks("") for command in commands(block)]
INLINE = [command for page in PAGES for command in inline_commands(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def parse(words: tuple[str, ...]) -> None:
    """Parse the words of a `raytl` command as the command line does, and run nothing."""
    command: Any = typer.main.get_command(app)
    context, rest = None, list(words)
    name = "raytl"
    while True:
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])


def verb_of(words: tuple[str, ...]) -> Any:
    """Return the command that the first words name, as far as they name one."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if not hasattr(command, "commands"):
            break
        command = command.commands[word]
    return command


def strange_keys(words: tuple[str, ...]) -> list[str]:
    """Return the keys that `--set` names and no experiment has."""
    given = [after for before, after in pairwise(words) if before == "--set"]
    return [text for text in given if shape.node_at(text.partition("=")[0].split(".")) is None]


def missing_files(words: tuple[str, ...]) -> list[str]:
    """Return the files of this repository that are named and not there."""
    return [word for word in words if word.startswith(("experiments/", "clusters/")) and not (REPO / word).exists()]


def check(command: Command) -> None:
    """Raise what is wrong with a whole command."""
    program, *rest = command.words
    assert not missing_files(command.words)
    if program == "raytl":
        parse(tuple(rest))
        assert not strange_keys(command.words)
    elif program == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS
    elif program == "python":
        assert find_spec(rest[rest.index("-m") + 1]), command.text
    else:
        assert rest[0] == "install" and extras_of(rest[1]) <= known_extras()


def extras_of(requirement: str) -> set[str]:
    """Return the extras that `.[a,b]` asks for."""
    return set(filter(None, requirement.partition("[")[2].rstrip("]").split(",")))


def known_extras() -> set[str]:
    """Return the extras of the distribution."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.text)
def test_a_command_in_a_block_parses(command: Command) -> None:
    check(command)


@pytest.mark.parametrize("command", INLINE, ids=lambda command: command.text)
def test_a_command_in_the_text_exists(command: Command) -> None:
    program, *rest = command.words
    if program != "raytl":
        check(command)
        return
    options = {word.partition("=")[0] for word in rest if word.startswith("--")}
    known = {name for parameter in verb_of(tuple(rest)).params for name in parameter.opts} | {"--help"}
    assert options <= known
    assert not strange_keys(command.words)


def test_each_page_that_shows_a_tool_has_commands() -> None:
    shown = {command.where.partition(":")[0] for command in COMMANDS}
    assert {"README.md", "docs/getting-started.md", "docs/tuning.md", "docs/clusters.md", "docs/retraining.md"} <= shown
    assert len(COMMANDS) > 40


def test_the_readme_has_the_two_commands_that_set_up_a_checkout() -> None:
    first = [command.words for block in blocks(README) for command in commands(block)]
    assert {("make", "quickstart"), ("make", "test"), ("pip", "install", ".")} <= set(first)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("train x.yaml --sett a=1", "No such option"),
        ("fly x.yaml", "No such command"),
        ("evaluate runs/x --split best", "is not one of"),
        ("predict", "Missing parameter: run"),
    ],
)
def test_a_command_that_does_not_parse_is_found(words: str, fault: str) -> None:
    with pytest.raises(Exception, match=fault):
        parse(tuple(words.split()))


def test_a_key_or_a_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    words = ("train", "experiments/nothing.yaml", "--set", "optim.rate=1", "--set", "optim.lr=1")
    assert strange_keys(words) == ["optim.rate=1"]
    assert missing_files(words) == ["experiments/nothing.yaml"]
