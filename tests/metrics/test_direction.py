"""The direction of a metric is read off its name, with and without its split."""

from __future__ import annotations

import pytest

from raytl.metrics.direction import lower_is_better, sign


@pytest.mark.parametrize(
    "metric", ["log_loss", "val/log_loss", "ece", "loss", "val/mean_squared_error", "cost/latency_ms"]
)
def test_losses_errors_and_costs_are_better_lower(metric: str) -> None:
    assert lower_is_better(metric) and sign(metric) == -1.0


@pytest.mark.parametrize(
    "metric",
    ["accuracy", "val/accuracy", "balanced_accuracy", "val/macro_f1", "top_5_accuracy", "map_50", "error_recall"],
)
def test_shares_are_better_higher(metric: str) -> None:
    assert not lower_is_better(metric) and sign(metric) == 1.0
