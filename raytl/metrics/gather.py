"""Merge the rows of all workers by sample ID, so that every worker has all rows.

Without padding or duplicates, a metric over the merged rows equals that of a single worker.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Ints
from raytl.world import World

Rows = NDArray[Any]


def gather_rows(world: World, ids: Ints, *rows: Rows, total: int | None = None) -> tuple[Ints, tuple[Rows, ...]]:
    """Return the `ids (n,)` and `rows (n, ...)` of all workers, in the order of the IDs, equal on every rank.

    Every rank must call this function. With `total`, the IDs must be exactly 0 ... total - 1.
    """
    parts = _all_parts(world, (np.asarray(ids, dtype=np.int64), *rows))
    filled = [part for part in parts if len(part[0])] or parts[:1]  # the rows of a rank without samples have no columns
    merged = [np.concatenate(columns) for columns in zip(*filled, strict=True)]
    order = np.argsort(merged[0], kind="stable")
    sorted_ids, *sorted_rows = (column[order] for column in merged)
    _check(sorted_ids, total)
    return sorted_ids, tuple(sorted_rows)


def _all_parts(world: World, mine: tuple[Rows, ...]) -> list[tuple[Rows, ...]]:
    if world.size == 1:
        return [mine]
    world.status.begin("all_gather of the scored rows", in_collective=True)
    contents = _all_contents(world, _encoded(mine))
    world.status.begin("scoring the gathered rows")
    return [_decoded(content) for content in contents]


def _all_contents(world: World, mine: bytes) -> list[bytes]:
    """Return the bytes of every rank. Gather no objects: torch pickles them, and the ports need no authentication."""
    import torch
    import torch.distributed as dist

    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world.size)]
    dist.all_gather(sizes, torch.tensor([len(mine)], device=device))
    longest = max(int(size) for size in sizes)
    padded = torch.frombuffer(bytearray(mine.ljust(longest, b"\0")), dtype=torch.uint8).to(device)
    parts = [torch.empty_like(padded) for _ in range(world.size)]
    dist.all_gather(parts, padded)
    return [part[: int(size)].cpu().numpy().tobytes() for part, size in zip(parts, sizes, strict=True)]


def _encoded(rows: tuple[Rows, ...]) -> bytes:
    content = io.BytesIO()
    np.savez(content, *rows)
    return content.getvalue()


def _decoded(content: bytes) -> tuple[Rows, ...]:
    with np.load(io.BytesIO(content), allow_pickle=False) as rows:
        return tuple(rows[f"arr_{number}"] for number in range(len(rows.files)))


def _check(ids: Ints, total: int | None) -> None:
    twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
    assert len(twice) == 0, f"samples scored twice: {twice[:8].tolist()} ({len(twice)} in all)"
    if total is not None:
        missing = np.setdiff1d(np.arange(total), ids)
        assert len(missing) == 0, f"samples scored by no worker: {missing[:8].tolist()} ({len(missing)} in all)"
        assert len(ids) == total, f"{len(ids)} rows for {total} samples"
