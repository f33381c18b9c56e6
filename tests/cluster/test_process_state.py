from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raytl.cluster.worker_group import run_group
from raytl.config.schema import ComputeConfig
from raytl.events import OnEvent, ignore
from raytl.world import World


def _change_everything(world: World, error: BaseException | None, emit: OnEvent) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.set_num_threads(torch.get_num_threads() + 1)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    os.environ["RAYTL_OF_THE_CALLER"] = "changed"
    os.environ.pop("RAYTL_REMOVED", None)
    if error is not None:
        raise error


def _state() -> list[Any]:
    return [
        torch.get_rng_state().tolist(),
        torch.initial_seed(),
        [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        random.getstate(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.get_num_threads(),
        dict(os.environ),
    ]


@pytest.mark.parametrize("error", [None, ValueError("a bug"), KeyboardInterrupt("Ctrl-C")], ids=repr)
def test_a_run_in_this_process_leaves_its_global_state_as_it_was(
    error: BaseException | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setenv("RAYTL_OF_THE_CALLER", "set")
    monkeypatch.setenv("RAYTL_REMOVED", "set")
    before = _state()
    expected = pytest.raises(type(error), match=str(error)) if error else contextlib.nullcontext()
    with expected:
        run_group(_change_everything, error, ComputeConfig(), scratch=tmp_path, on_event=ignore)
    assert _state() == before
