"""The trainable part of the network by epoch: a pure function of the plan.

A resumed run calls the same function and so continues in the correct stage. Sources: head first, then all
(Kumar et al. 2022, LP-FT); gradual unfreezing from the top (Howard & Ruder 2018, ULMFiT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raytl.config.schema import TransferConfig


@dataclass(frozen=True, slots=True)
class TrainStage:
    """Epochs `[first, end)`, zero-based, in which the head and the top `depth` stages are trained.

    A stage with a `title` is called so.
    """

    index: int
    first: int
    end: int
    depth: int
    title: str = ""

    @property
    def name(self) -> str:
        """Return the name for the terminal."""
        return self.title or ("head" if self.depth == 0 else f"head + {self.depth}")


def timeline(transfer: TransferConfig, depth: int, epochs: int) -> tuple[TrainStage, ...]:
    """Return the stages, without gaps, of a run of `epochs` epochs that ends with the top `depth` stages unfrozen."""
    starts: list[tuple[int, int]] = []
    head_first = transfer.head_first if depth else 0
    if head_first or not depth:
        starts.append((0, 0))
    if depth and transfer.gradual:
        starts += [(head_first + opened * transfer.gradual_every, opened + 1) for opened in range(depth)]
    elif depth:
        starts.append((head_first, depth))
    starts = [start for start in starts if start[0] < epochs]
    ends = [first for first, _ in starts[1:]] + [epochs]
    return tuple(
        TrainStage(index, first, end, level)
        for index, ((first, level), end) in enumerate(zip(starts, ends, strict=True))
    )


def stage_at(stages: Sequence[TrainStage], epoch: int) -> TrainStage:
    """Return the stage of `epoch`."""
    return next(stage for stage in stages if stage.first <= epoch < stage.end)


def opened_at(stages: Sequence[TrainStage], level: int) -> int:
    """Return the epoch in which the `level`-th stage from the top is unfrozen; level 0 is the head."""
    return next(stage.first for stage in stages if stage.depth >= level)
