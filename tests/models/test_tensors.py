"""Tensors are written with the mode of any other file, and come back as they were."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from raytl.models.tensors import save_tensors


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_is_what_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save_tensors({"a": torch.ones(2)}, tmp_path / "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


def test_tensors_that_share_memory_are_saved_each(tmp_path: Path) -> None:
    whole = torch.arange(4.0)
    save_tensors({"a": whole, "b": whole[:2]}, tmp_path / "x")
    assert {name: tensor.tolist() for name, tensor in load_file(tmp_path / "x").items()} == {
        "a": [0, 1, 2, 3], "b": [0, 1],
    }  # fmt: skip
