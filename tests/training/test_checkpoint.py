from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from raytl.config.schema import OptimConfig
from raytl.errors import RunError
from raytl.models.optimizer import build_optimizer
from raytl.training.checkpoint import (
    Best,
    Checkpoint,
    Progress,
    load,
    optimizer_state,
    read_progress,
    restore_optimizer,
    save,
)


def stepped(module: nn.Module) -> torch.optim.Optimizer:
    names = [name for name, _ in module.named_parameters()]
    optimizer = torch.optim.AdamW([{"params": list(module.parameters()), "names": names}], lr=0.1)
    module(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    return optimizer


def checkpoint(module: nn.Module, optimizer: torch.optim.Optimizer) -> Checkpoint:
    progress = Progress(epoch=3, step=7, best=Best(2, {"val/accuracy": 0.5}), trainable="abc", loss_sum=1.5, seen=9)
    return Checkpoint(progress, module.state_dict(), {}, optimizer_state(optimizer), {})


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    optimizer = stepped(module)
    save(tmp_path / "last", checkpoint(module, optimizer))
    loaded = load(tmp_path / "last")
    assert loaded is not None
    assert loaded.progress == Progress(3, 7, Best(2, {"val/accuracy": 0.5}), "abc", 1.5, 9)
    assert torch.equal(loaded.model["weight"], module.weight)
    fresh = stepped(nn.Linear(3, 2))
    restore_optimizer(fresh, loaded.optimizer)
    before, after = optimizer.state_dict()["state"], fresh.state_dict()["state"]
    assert all(torch.equal(before[i][key], after[i][key]) for i in before for key in before[i])
    assert read_progress(tmp_path / "last") == loaded.progress


def steps(
    name: str, module: nn.Module, first: int, end: int, states: dict[str, dict[str, Any]]
) -> torch.optim.Optimizer:
    names = [name for name, _ in module.named_parameters()]
    optimizer = build_optimizer([{"params": list(module.parameters()), "names": names}], OptimConfig(name=name, lr=0.1))
    restore_optimizer(optimizer, states)
    for step in range(first, end):
        optimizer.zero_grad()
        module(torch.arange(12.0).reshape(4, 3).roll(step, 1)).square().mean().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", ["adan", "lamb", "lion"])
def test_an_optimizer_goes_on_as_if_it_had_never_stopped(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    start = copy.deepcopy(module)
    steps(name, module, 0, 6, {})
    optimizer = steps(name, start, 0, 3, {})
    save(tmp_path / "last", checkpoint(start, optimizer))
    loaded = load(tmp_path / "last")
    assert loaded is not None
    steps(name, start, 3, 6, loaded.optimizer)
    assert torch.equal(start.weight, module.weight)


def test_the_next_checkpoint_takes_the_place_of_the_last_as_a_whole(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    optimizer = stepped(module)
    save(tmp_path / "last", checkpoint(module, optimizer))
    (tmp_path / "last" / "leftover").touch()
    save(tmp_path / "last", checkpoint(module, optimizer))
    assert not (tmp_path / "last" / "leftover").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert load(tmp_path / "last") is None
    assert read_progress(tmp_path / "last") is None


def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    save(tmp_path / "last", checkpoint(module, stepped(module)))
    tensors = tmp_path / "last" / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:50])
    with pytest.raises(RunError, match="checkpoint is damaged .*\n.*--new"):
        load(tmp_path / "last")


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    save(tmp_path / "last", checkpoint(module, stepped(module)))
    assert {path.suffix for path in (tmp_path / "last").iterdir()} == {".safetensors", ".json"}
