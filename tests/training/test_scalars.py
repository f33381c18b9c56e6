"""TensorBoard itself reads what was written of each epoch, and an epoch that was trained again counts once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raytl.training.scalars import write_scalars


def read(folder: Path, name: str) -> list[tuple[int, float]]:
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars(name)]


def test_tensorboard_reads_the_scores_of_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch, loss in ((1, 0.5), (2, 0.25), (3, 0.125)):
        monkeypatch.setattr("time.time", lambda epoch=epoch: 1_700_000_000.0 + epoch)
        write_scalars(tmp_path, {"train/loss": loss}, epoch)
    assert read(tmp_path, "train/loss") == [(1, 0.5), (2, 0.25), (3, 0.125)]
    monkeypatch.setattr("time.time", lambda: 1_700_000_009.0)
    write_scalars(tmp_path, {"train/loss": 0.375}, 2)  # a run that went on from the end of epoch 1
    assert read(tmp_path, "train/loss") == [(1, 0.5), (2, 0.375)]
    assert all(path.name.startswith("events.out.tfevents.") for path in tmp_path.iterdir())
