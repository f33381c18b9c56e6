"""`train.compile`: the compiled network learns the same, and what cannot be compiled is rejected."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from raytl.errors import ConfigError
from raytl.tasks.registry import task_named
from raytl.training import compiled
from raytl.training.compiled import check_compile
from tests.training.conftest import toy
from tests.training.in_memory import fit

CPU = torch.device("cpu")
COMPILED = {"train.compile": True, "train.deterministic": False}
ONE_STAGE = {"train.epochs": 1, "transfer.unfreeze": 1, "transfer.head_first": 0}
THREE_STAGES = {"transfer.gradual": True}


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of torch's own code
@pytest.mark.parametrize(
    ("backend", "changes", "stages"),
    [
        pytest.param("eager", ONE_STAGE, 1, marks=pytest.mark.thorough),
        pytest.param("inductor", THREE_STAGES, 3, marks=pytest.mark.thorough),
    ],
)
def test_a_compiled_network_learns_what_it_learns_otherwise(
    backend: str, changes: dict[str, Any], stages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[torch.nn.Module] = []
    real = compiled.compiled

    def counted(model: torch.nn.Module) -> torch.nn.Module:
        calls.append(model)
        return real(model)

    monkeypatch.setattr("raytl.training.phase.compiled", counted)
    monkeypatch.setattr(compiled, "BACKEND", backend)
    plain = fit(toy(tmp_path, tmp_path, {**COMPILED, **changes, "train.compile": False}), tmp_path / "plain")
    assert not calls
    fast = fit(toy(tmp_path, tmp_path, {**COMPILED, **changes}), tmp_path / "fast")
    assert len(calls) == len(plain.stages) == stages
    assert fast.losses == pytest.approx(plain.losses, rel=1e-3)
    assert fast.best.keys() == plain.best.keys()


@pytest.mark.parametrize(
    ("device", "changes", "missing", "match"),
    [
        ("cpu", {"train.deterministic": True}, False, "train.compile: found true with train.deterministic: true"),
        ("cpu", {}, True, r"train.compile: .* needs a C\+\+ compiler, and none of c\+\+, g\+\+, clang\+\+ is here"),
        ("cuda", {}, True, "train.compile: .* needs the package triton on a GPU"),
    ],
)
def test_a_machine_that_cannot_compile_says_so_before_training(
    device: str, changes: dict[str, Any], missing: bool, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=match):
        check_compile(toy(tmp_path, tmp_path, {**COMPILED, **changes}), torch.device(device))


def test_without_it_nothing_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    check_compile(toy(tmp_path, tmp_path), CPU)


@pytest.mark.parametrize("task", ["segmentation", "detection", "instances"])
def test_a_task_whose_targets_enter_the_network_rejects_it(task: str, tmp_path: Path) -> None:
    experiment = toy(tmp_path, tmp_path, {"task": task, **COMPILED, "transfer.head_start": "zero"})
    with pytest.raises(ConfigError, match=r"train.compile: found True; .* expects False. Targets enter its network"):
        task_named(task).check(experiment)
