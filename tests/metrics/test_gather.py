from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
import torch.multiprocessing as mp

from raytl.metrics.gather import gather_rows
from raytl.world import World
from tests.security.conftest import Trap

TOTAL = 21


def _rows(rank: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.arange(TOTAL)[rank::size][::-1].copy()
    return ids, np.stack([ids * 10.0, ids * 100.0], axis=1)


def _worker(rank: int, size: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    ids, table = _rows(rank, size - 1) if rank < size - 1 else (np.zeros(0, np.int64), np.zeros((0, 0)))
    merged, (rows,) = gather_rows(World(rank, size, rank), ids, table, total=TOTAL)
    np.savez(Path(folder) / f"{rank}.npz", ids=merged, rows=rows)
    dist.destroy_process_group()


@pytest.mark.parametrize("size", [2, 3])
def test_every_rank_even_one_without_samples_gets_every_row_once_in_the_order_of_the_ids(
    size: int, tmp_path: Path
) -> None:
    mp.start_processes(_worker, (size, str(tmp_path)), nprocs=size, start_method="fork")
    for rank in range(size):
        gathered = np.load(tmp_path / f"{rank}.npz")
        assert gathered["ids"].tolist() == list(range(TOTAL))
        assert gathered["rows"][:, 1].tolist() == [100.0 * each for each in range(TOTAL)]


def _hostile(rank: int, size: int, folder: str) -> None:
    """Rank 1 stands for another process that has got in, and sends an object."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    rows = np.array([Trap(f"{folder}/mark")], dtype=object) if rank else np.zeros(1)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        gather_rows(World(rank, size, rank), np.arange(1), rows)
    dist.destroy_process_group()


def test_what_another_process_sends_runs_no_code(tmp_path: Path) -> None:
    mp.start_processes(_hostile, (2, str(tmp_path)), nprocs=2, start_method="fork")
    assert not (tmp_path / "mark").exists()


def test_one_worker_needs_no_process_group() -> None:
    ids, (rows, targets) = gather_rows(World.solo(), *_rows(0, 1), np.arange(TOTAL)[::-1], total=TOTAL)
    assert ids.tolist() == targets.tolist() == list(range(TOTAL))
    assert rows[:, 0].tolist() == [10.0 * each for each in range(TOTAL)]


@pytest.mark.parametrize(
    ("ids", "said"),
    [([0, 1, 1, 2], r"scored twice: \[1\] \(1"), ([0, 2], r"by no worker: \[1\]"), ([0, 1, 2, 3], "4 rows for 3")],
)
def test_a_sample_twice_or_never_is_found(ids: list[int], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        gather_rows(World.solo(), np.array(ids), np.zeros(len(ids)), total=3)
