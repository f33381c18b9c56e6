from __future__ import annotations

from typing import Any

import pytest

from raytl.config.schema import OptimConfig
from raytl.training.schedule import factor


def factors(steps: int = 10, epochs: int = 10, shape_from: int = 0, opened: int = 0, **optim: Any) -> list[float]:
    config = OptimConfig(**optim)
    return [
        factor(config, step=i, total=steps * epochs, steps_per_epoch=steps, shape_from=shape_from, opened=opened)
        for i in range(opened, steps * epochs)
    ]


def test_cosine_falls_from_one_to_its_end() -> None:
    values = factors(schedule="cosine", warmup=0, min_lr_ratio=0.1)
    assert values[0] == 1.0
    assert values[50] == pytest.approx(0.55)
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0.1, abs=0.01)


def test_warm_up_is_linear_and_counted_from_the_opening_of_the_group() -> None:
    assert factors(schedule="constant", warmup=0.5)[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert factors(schedule="constant", warmup=0.5, opened=30)[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_the_rate_is_flat_while_the_head_learns_alone() -> None:
    values = factors(schedule="cosine", warmup=0, shape_from=20)
    assert values[:21] == [1.0] * 21
    assert values[60] == pytest.approx(0.505)


def test_one_cycle_rises_and_falls() -> None:
    values = factors(schedule="onecycle", warmup=0, min_lr_ratio=0.0)
    assert values[0] == pytest.approx(0.04)
    assert max(values) == values[30] == 1.0
    assert values[-1] < 0.01


def test_warm_restarts_double_their_cycle() -> None:
    values = factors(schedule="restarts", restart_every=2, epochs=14, warmup=0, min_lr_ratio=0.0)
    peaks = [i for i in range(1, len(values)) if values[i] > values[i - 1]]
    assert peaks == [20, 60]
    assert [values[i] for i in peaks] == [1.0, 1.0]


@pytest.mark.parametrize("schedule", ["cosine", "restarts", "onecycle", "constant"])
def test_every_schedule_stays_within_zero_and_one(schedule: str) -> None:
    extra = {"restart_every": 3} if schedule == "restarts" else {}
    assert all(0.0 <= value <= 1.0 for value in factors(schedule=schedule, shape_from=10, **extra))
