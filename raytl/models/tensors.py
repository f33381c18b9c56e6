"""Tensors as a safetensors file: the one place where such a file is written by path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from raytl.disk import writing


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the tensors to `path`, from the CPU; those that share memory are written apart.

    Raises:
        DiskError: the disk refuses.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with writing(path, sum(tensor.nbytes for tensor in plain.values())):
        save_file(plain, path)
