"""The verdicts on bundles."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.export.compress.judge import verdict_of

TARGETS = np.arange(400) % 4


def probabilities(wrong: int, tilt: float = 0.0) -> NDArray[np.float64]:
    """Return answers to `TARGETS`, of which the first `wrong` are wrong."""
    classes = np.where(np.arange(400) < wrong, (TARGETS + 1) % 4, TARGETS)
    table = np.full((400, 4), 0.1) - tilt / 3
    table[np.arange(400), classes] = 0.7 + tilt
    return table


def test_the_same_network_must_answer_the_same() -> None:
    good = verdict_of(TARGETS, probabilities(40), probabilities(40, 5e-4), 0.5, is_same=True)
    assert (good.reason, good.agreement, good.images) == ("", 1.0, 400) and good.score == pytest.approx(0.9)
    bad = verdict_of(TARGETS, probabilities(40), probabilities(40, 0.01), 50, is_same=True)
    assert bad.reason == (
        "answers differ from those of the saved model: 100.00 % agree (at least 99.9 %), and probabilities differ by 0.01 "
        "(at most 0.001)"
    )
    assert "99.75 % agree" in verdict_of(TARGETS, probabilities(40), probabilities(41), 50, is_same=True).reason


def test_another_network_may_answer_otherwise_while_a_larger_loss_is_excluded() -> None:
    same = verdict_of(TARGETS, probabilities(40), probabilities(40, 0.1), 0.5, is_same=False)
    assert same.reason == "" and same.least == 0
    worse = verdict_of(TARGETS, probabilities(40), probabilities(60), 5.0, is_same=False)
    assert worse.score == pytest.approx(0.85) and worse.least < -0.05
    assert worse.reason.startswith("400 validation images cannot exclude a loss of ")
    assert worse.reason.endswith("points (allowed: 5)")
    assert verdict_of(TARGETS, probabilities(40), probabilities(60), 10.0, is_same=False).reason == ""
