"""Batches are copied on a stream of their own, which the network waits for, and live until it has read them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from raytl.data.loader import Batch
from raytl.training import transfer
from raytl.training.transfer import StepBatch, moved
from tests.training.cuda_calls import Value, faked

GPU = torch.device("cuda", 0)


def test_a_batch_is_copied_beside_the_step_before_and_kept_until_the_network_has_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transfer._copying.cache_clear()
    with faked(monkeypatch) as calls:
        images, targets = (Value(calls, name) for name in ("images", "targets"))
        ids = torch.arange(2)
        host = StepBatch((Batch(images, ids, targets),), 2, None)  # type: ignore[arg-type]
        (batch,) = moved([host], GPU)
    transfer._copying.cache_clear()
    assert calls.made == [
        "side 1: pin images",
        "side 1: copy images",
        "side 1: pin targets",
        "side 1: copy targets",
        "main: main waits for side 1",
        "main: keep images on the GPU for main",
        "main: keep targets on the GPU for main",
    ]
    assert batch.parts[0].ids is ids


def test_all_epochs_share_one_stream_as_memory_is_kept_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    transfer._copying.cache_clear()
    with faked(monkeypatch) as calls:
        for _ in range(3):
            assert list(moved([], GPU)) == []
    transfer._copying.cache_clear()
    assert calls.streams == 1


def test_memory_that_is_pinned_already_is_copied_from_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[Any] = []
    images = torch.zeros(2, 3, 4, 4)
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda self: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: copies.append("pinned again"))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device, non_blocking: copies.append((device, non_blocking)))
    transfer._copy(images, GPU)
    assert copies == [(GPU, True)]


def test_on_the_cpu_batches_stay_as_they_are() -> None:
    batch = StepBatch((), 0, None)
    assert list(moved([batch], torch.device("cpu"))) == [batch]
