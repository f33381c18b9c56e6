"""The learning rate factor at a step: a pure function, so that no state needs saving.

While only the head trains, its rate is constant; the shape (cosine, ...) runs from the first unfreezing to the
end. Each stage warms up linearly from the step at which it is unfrozen, so that it does not take full steps with an
empty optimizer state.
"""

from __future__ import annotations

import math

from raytl.config.schema import OptimConfig

_ONECYCLE_RISE = 0.3  # fraction of the run in which one-cycle rises, from 1/25 of the peak (Smith & Topin 2018)
_ONECYCLE_START = 1.0 / 25.0


def factor(
    optim: OptimConfig, *, step: int, total: int, steps_per_epoch: int, shape_from: int = 0, opened: int = 0
) -> float:
    """Return the factor in (0, 1] at `step` of `total`, for a group unfrozen at step `opened`.

    `shape_from` is the step at which the schedule's shape begins; before it the factor is flat.
    """
    return _warmup(optim, step - opened, steps_per_epoch) * _shape(
        optim, step - shape_from, total - shape_from, steps_per_epoch
    )


def _warmup(optim: OptimConfig, since: int, steps_per_epoch: int) -> float:
    length = round(optim.warmup * steps_per_epoch)
    return min(1.0, (since + 1) / length) if length else 1.0


def _shape(optim: OptimConfig, step: int, total: int, steps_per_epoch: int) -> float:
    if step < 0 or optim.schedule == "constant":
        return 1.0
    done = step / max(total, 1)
    if optim.schedule == "cosine":
        return _cosine(done, 1.0, optim.min_lr_ratio)
    if optim.schedule == "onecycle":
        if done < _ONECYCLE_RISE:
            return _cosine(done / _ONECYCLE_RISE, _ONECYCLE_START, 1.0)
        return _cosine((done - _ONECYCLE_RISE) / (1.0 - _ONECYCLE_RISE), 1.0, optim.min_lr_ratio)
    return _cosine(_cycle_done(step / steps_per_epoch, optim.restart_every), 1.0, optim.min_lr_ratio)


def _cycle_done(epochs: float, first: float) -> float:
    """Return the elapsed fraction of the cycle, for cycle lengths first, 2 first, 4 first, ... (SGDR, Loshchilov & Hutter 2017)."""
    cycle = int(math.log2(epochs / first + 1.0))
    return (epochs - first * (2.0**cycle - 1.0)) / (first * 2.0**cycle)


def _cosine(done: float, start: float, end: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
