"""The process group of the workers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from raytl.cluster.network import extend_collective_timeout


def test_collectives_wait_for_a_rank_that_works_alone_for_hours(tmp_path: Path) -> None:
    start = timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=(tmp_path / "group").as_uri(), rank=0, world_size=1, timeout=start)
    try:
        group: Any = dist.group.WORLD
        backend = group._get_backend(torch.device("cpu"))
        assert backend.options._timeout == start
        extend_collective_timeout()
        assert backend.options._timeout == timedelta(days=1)
    finally:
        dist.destroy_process_group()
