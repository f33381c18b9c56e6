"""What raytl is built from is pinned by what it is, not by a name that others can move."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[2]
CONSTRAINTS = (REPO / "constraints.txt").read_text()
WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yml"))
DOCKERFILES = sorted(REPO.glob("clusters/**/Dockerfile*"))


def pins(constraints: str) -> list[str]:
    """The entries of a constraints file, each with its hashes on one line."""
    joined = constraints.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def unhashed(constraints: str) -> list[str]:
    """The entries that are not one version with at least one sha256."""
    pin = re.compile(r"[\w.-]+={2,3}\S+( ;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+")
    return [line for line in pins(constraints) if not pin.fullmatch(line)]


def actions(workflow: str) -> list[str]:
    """The actions that a workflow uses."""
    jobs = yaml.safe_load(workflow)["jobs"].values()
    return [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]


def test_every_pin_has_a_hash() -> None:
    assert len(pins(CONSTRAINTS)) > 100
    assert unhashed(CONSTRAINTS) == []


def test_a_pin_without_a_hash_is_found() -> None:
    assert unhashed("six==1.17.0\n") == ["six==1.17.0"]
    assert unhashed(f"six>=1 --hash=sha256:{'0' * 64}\n")


def test_the_pins_name_no_place_to_install_from() -> None:
    assert not re.search(r"://|--index|--find-links", CONSTRAINTS)


def test_the_build_is_pinned() -> None:
    (requirement,) = tomllib.loads((REPO / "pyproject.toml").read_text())["build-system"]["requires"]
    assert any(line.startswith(f"{requirement} ") for line in pins(CONSTRAINTS))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = actions(path.read_text())
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_unless_a_job_says_more(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_are_pinned_by_digest(path: Path) -> None:
    bases = re.findall(r"^FROM (.+)$", path.read_text(), re.MULTILINE)
    assert bases
    assert [base for base in bases if not re.search(r"@sha256:[0-9a-f]{64}\b", base)] == []
