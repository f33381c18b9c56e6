from __future__ import annotations

import pytest

from raytl.config.schema import TransferConfig
from raytl.training.stages import opened_at, stage_at, timeline


def spans(transfer: TransferConfig, depth: int, epochs: int) -> list[tuple[int, int, int]]:
    return [(stage.first, stage.end, stage.depth) for stage in timeline(transfer, depth, epochs)]


@pytest.mark.parametrize(
    ("transfer", "depth", "epochs", "expected"),
    [
        (TransferConfig(head_first=1), 3, 5, [(0, 1, 0), (1, 5, 3)]),
        (TransferConfig(head_first=0), 3, 5, [(0, 5, 3)]),
        (TransferConfig(head_first=3), 0, 5, [(0, 5, 0)]),
        (TransferConfig(head_first=1, gradual=True), 3, 6, [(0, 1, 0), (1, 2, 1), (2, 3, 2), (3, 6, 3)]),
        (TransferConfig(head_first=0, gradual=True, gradual_every=2), 2, 6, [(0, 2, 1), (2, 6, 2)]),
        (TransferConfig(head_first=1, gradual=True), 5, 3, [(0, 1, 0), (1, 2, 1), (2, 3, 2)]),
        (TransferConfig(head_first=9), 2, 4, [(0, 4, 0)]),
    ],
)
def test_the_head_learns_first_and_stages_open_from_the_top(
    transfer: TransferConfig, depth: int, epochs: int, expected: list[tuple[int, int, int]]
) -> None:
    assert spans(transfer, depth, epochs) == expected


def test_every_epoch_lies_in_exactly_one_stage() -> None:
    stages = timeline(TransferConfig(head_first=2, gradual=True, gradual_every=3), 4, 12)
    assert [stage_at(stages, epoch).depth for epoch in range(12)] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    assert all(stage.index == index for index, stage in enumerate(stages))


def test_a_stage_knows_when_it_opened() -> None:
    stages = timeline(TransferConfig(head_first=1, gradual=True), 3, 6)
    assert [opened_at(stages, level) for level in range(4)] == [0, 1, 2, 3]
