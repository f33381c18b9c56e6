"""The CPUs that this process may use: on a container with two of 96, threads and processes for 96 would fight for two."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """Return the number of CPUs that this process may use: those of its affinity, and no more than the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return count if quota is None else max(1, min(count, quota))


def _quota(cgroup: Path) -> int | None:
    """Return the CPUs that the time of the container is worth, rounded up; None without a limit."""
    v2, v1 = cgroup / "cpu.max", cgroup / "cpu"
    try:
        texts = v2.read_text(encoding="ascii").split() if v2.exists() else _texts(v1)
        quota, period = map(int, texts)
    except (OSError, ValueError):  # no cgroup, or "max"
        return None
    return -(-quota // period) if quota > 0 < period else None


def _texts(folder: Path) -> list[str]:
    return [(folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")]
