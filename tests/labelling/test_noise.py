"""`labels.noise` ranks or leaves out training images, and keeps those that a person looked at."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from raytl.config.schema import Experiment
from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.data.corrections import Correction, text_of
from raytl.data.manifest import Sample
from raytl.events import ignore
from raytl.labelling.change import UNCHANGED, TrainChange
from raytl.labelling.noise import leave_out_noise
from raytl.tasks.registry import task_named

CLASSES = ("a", "b", "c")
COUNT = 120


@pytest.fixture
def inputs(tmp_path: Path) -> Any:
    """Inputs with 12 of 120 labels wrong, whose features show the true classes."""
    draw = np.random.default_rng(0)
    truth = np.arange(COUNT) % 3
    given = np.where(np.arange(COUNT) < 12, (truth + 1) % 3, truth)
    features = torch.from_numpy((draw.normal(size=(COUNT, 8)) + 5 * np.eye(3, 8)[truth]).astype(np.float32))
    train = [
        Sample(f"{place}.jpg", f"/none/{place}.jpg", CLASSES[label], "train", f"{place:064x}")
        for place, label in enumerate(given)
    ]
    return SimpleNamespace(
        experiment=Experiment(name="e", data="d", model="m", labels={"relabel": str(tmp_path / "fixes.csv")}),
        task=task_named("classification"),
        backbone=SimpleNamespace(preprocess=SimpleNamespace(bit_depth=SIXTEEN_BITS)),
        train=train,
        classes=CLASSES,
        on_event=ignore,
        features=lambda samples: features[[int(sample.key.removesuffix(".jpg")) for sample in samples]],
    )


def keys(change: TrainChange) -> set[str]:
    return {each.key for each in change.doubtful}


WRONG = {f"{place}.jpg" for place in range(12)}


def test_rank_lists_and_changes_nothing(inputs: Any) -> None:
    change = leave_out_noise(inputs, "rank", UNCHANGED)
    assert keys(change) >= WRONG
    assert change.applied(inputs.train) is inputs.train
    assert "not an estimate of how many are wrong" in change.notes[0]


def test_leave_out_leaves_the_listed_images_out(inputs: Any) -> None:
    change = leave_out_noise(inputs, "leave_out", UNCHANGED)
    assert WRONG <= keys(change) == change.left_out
    assert {sample.key for sample in change.applied(inputs.train)} == {s.key for s in inputs.train} - change.left_out
    assert f"{len(change.left_out)} of 120 training images are left out" in change.notes[1]


def test_a_label_that_a_person_confirmed_is_not_doubted_again(inputs: Any) -> None:
    confirmed = Correction("0.jpg", "b", "b", "me", "2026-11-29T00:00:00+00:00", "seen")
    Path(inputs.experiment.labels.relabel).write_text(text_of([confirmed], with_header=True))
    change = leave_out_noise(inputs, "leave_out", UNCHANGED)
    assert WRONG - {"0.jpg"} <= keys(change)
    assert "0.jpg" not in keys(change) | change.left_out


def test_images_that_an_earlier_method_left_out_are_not_ranked(inputs: Any) -> None:
    change = leave_out_noise(inputs, "rank", TrainChange(left_out=frozenset({"1.jpg"})))
    assert "1.jpg" not in keys(change)
    assert change.left_out == {"1.jpg"}
