"""Write safetensors files, with the file mode that the umask gives."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from raytl.disk import writing


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the tensors to `path`, which must not exist; tensors that share memory are written separately.

    safetensors itself ignores the umask.

    Raises:
        DiskError: the write failed.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with writing(path, sum(tensor.nbytes for tensor in plain.values())):
        path.touch(exist_ok=False)
        mode = stat.S_IMODE(path.stat().st_mode)
        try:
            save_file(plain, path)
        except BaseException:
            path.unlink()
            raise
        path.chmod(mode)
