"""Steps of one epoch, on images in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.errors import NonFiniteLoss
from tests.training.conftest import toy
from tests.training.in_memory import fit


def test_a_loss_that_is_not_finite_stops_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    changes = {"optim.lr": 1e30, "optim.name": "sgd", "optim.clip_norm": None, "optim.warmup": 0}
    with pytest.raises(NonFiniteLoss, match=r"loss became .*\n  Lower optim.lr"):
        fit(toy(tmp_path, tmp_path, changes), tmp_path)


def test_accumulation_takes_the_same_steps_as_the_whole_batch(tmp_path: Path) -> None:
    # a network without BatchNorm: its statistics are those of what is computed together
    common = {"model.name": "test_vit", "train.epochs": 2, "augment.strength": 0.0, "model.preprocess.image_px": None}
    one, four = (
        fit(toy(tmp_path, tmp_path, {**common, "train.accumulate": pieces}), tmp_path / str(pieces))
        for pieces in (1, 4)
    )
    assert one.losses == pytest.approx(four.losses, rel=1e-4)
