"""Registries on every kind of store, and a small thing to publish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.registry import creation
from raytl.registry.record import About, Record
from raytl.registry.registry import Registry
from raytl.store import lease
from tests.conftest import S3, SWIFT
from tests.store.conftest import before_s3, lax_bucket, stern_bucket

__all__ = ["before_s3", "lax_bucket", "stern_bucket"]

LAX = pytest.param("lax_bucket", marks=[pytest.mark.s3, pytest.mark.thorough], id="s3-ignoring-conditions")
STERN = pytest.param("stern_bucket", marks=[pytest.mark.s3, pytest.mark.thorough], id="s3-refusing-conditions")
MOTO = pytest.param("bucket", marks=[pytest.mark.s3, pytest.mark.thorough], id="s3")
on_a_bucket_too = pytest.mark.parametrize("registry", ["local", "memory", S3, LAX, STERN, SWIFT], indirect=True)
"""For tests on S3 in the default suite."""
Publish = Callable[..., Record]


@pytest.fixture(params=["local", "memory", MOTO, LAX, STERN, SWIFT])
def registry(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry on each kind of store, with a short wait for concurrent writers."""
    monkeypatch.setattr(creation, "MAX_PUT_DELAY_S", 0.1)
    if request.param == "local":
        return Registry.open(str(tmp_path / "models" / "trash"))
    if request.param == "memory":
        return Registry.open(f"memory://{tmp_path}/trash")
    return Registry.open(f"s3://{request.getfixturevalue(request.param)}/models/trash")


@pytest.fixture
def several_at_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that restores the full wait for concurrent writers."""
    return lambda: monkeypatch.setattr(creation, "MAX_PUT_DELAY_S", lease.MAX_PUT_DELAY_S)


@pytest.fixture
def publish(registry: Registry, tmp_path: Path) -> Publish:
    """Return a function that publishes a folder of two files, one in a subfolder."""

    def made(content: str = "weights", into: Registry | None = None, **said: Any) -> Record:
        folder = tmp_path / "made"
        (folder / "checkpoints" / "best").mkdir(parents=True, exist_ok=True)
        (folder / "experiment.yaml").write_text("name: x\n")
        (folder / "checkpoints" / "best" / "model.safetensors").write_text(content)
        return (into or registry).publish(folder, about(**said))

    return made


def about(**said: Any) -> About:
    """Return the description of a version."""
    values: dict[str, Any] = {
        "model": "resnet", "classes": ("blue", "red"), "preprocess": {}, "weights": "0" * 64, "snapshot": "5" * 16,
        "evaluation": "e" * 16, "metrics": {"accuracy": 0.9}, "parent": None, "run": "runs/x", "tick": "t", "git": None,
        "who": "me", "created": "2026-11-01T06:00:00+00:00",
    }  # fmt: skip
    return About(**{**values, **said})
