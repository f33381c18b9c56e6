"""The division of modules into stages: everything in exactly one place."""

from __future__ import annotations

import torch
from torch import nn

from raytl.models.stages import divide, is_under


class Toy(nn.Module):
    """A stem, two blocks in a container, a norm, dropout and a head, with a buffer and a token of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3))
        self.register_buffer("ticks", torch.zeros(1))
        self.stem = nn.Linear(3, 3)
        self.stem_drop = nn.Dropout()
        self.blocks = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Dropout()), nn.Linear(3, 3))
        self.norm = nn.BatchNorm1d(3)
        self.head_drop = nn.Dropout()
        self.head = nn.Linear(3, 2)


STAGE_OF = {
    "token": 0,
    "ticks": 0,
    "stem.weight": 0,
    "stem.bias": 0,
    "blocks.0.0.weight": 4,
    "blocks.0.0.bias": 4,
    "blocks.1.weight": 7,
    "blocks.1.bias": 7,
    "norm.weight": 7,
    "norm.bias": 7,
    "norm.running_mean": 7,
    "norm.running_var": 7,
    "norm.num_batches_tracked": 7,
}


def test_stages_are_numbered_without_gaps_and_the_rest_is_the_head() -> None:
    layout = divide(Toy(), STAGE_OF)
    assert [stage.name for stage in layout.stages] == ["stem", "blocks.0", "blocks.1"]
    assert layout.head == ("head.weight", "head.bias")
    assert layout.stages[0].buffers == ("ticks",)
    assert layout.stages[2].buffers == ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked")


def test_a_module_without_tensors_lies_where_its_neighbours_below_lie() -> None:
    stages = divide(Toy(), STAGE_OF).stages
    assert "stem_drop" in stages[0].modules
    assert {"blocks.0", "blocks.0.1"} <= set(stages[1].modules)


def test_dropout_before_the_head_belongs_to_the_head() -> None:
    assert not any("head_drop" in stage.modules for stage in divide(Toy(), STAGE_OF).stages)


def test_containers_of_several_stages_belong_to_none() -> None:
    modules = [name for stage in divide(Toy(), STAGE_OF).stages for name in stage.modules]
    assert not {"", "blocks"} & set(modules)
    assert len(modules) == len(set(modules))


def test_a_stage_of_buffers_alone_joins_the_one_below() -> None:
    moved = {**STAGE_OF, "norm.running_mean": 9, "norm.running_var": 9}
    layout = divide(Toy(), moved)
    assert len(layout.stages) == 3
    assert "norm.running_mean" in layout.stages[2].buffers


def test_a_path_is_under_itself_and_its_parents_only() -> None:
    assert is_under("blocks.1.weight", ["blocks.1"])
    assert is_under("head", ["head"])
    assert not is_under("blocks.10.weight", ["blocks.1"])
