"""A fake Slurm on one machine: `srun` runs commands locally, `scontrol` lists two nodes."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
from pathlib import Path

SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
[ "$1" = hostname ] && echo 127.0.0.1 && exit
exec "$@"
"""
SCONTROL = """#!/bin/bash
case $1 in
  show) printf 'node-a\\nnode-b\\n' ;;
  requeue) echo "$2" > "$HOME/requeued" ;;
esac
"""


def free_job() -> int:
    """Return a job id whose ports, as slurm.sh derives them, are free on this machine."""
    for job in random.sample(range(10**6), 100):
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            for port in range(first_port(job), first_port(job) + 20):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return job
    raise OSError("no 20 ports in a row are free between 20000 and 32000")


def first_port(job: int) -> int:
    """Return the first of the job's ports, as slurm.sh computes it."""
    return 20000 + job % 600 * 20


def environment(root: Path, job: int) -> dict[str, str]:
    """Return the environment of the batch script of a job on two nodes, with the fake commands in PATH."""
    commands = root / "bin"
    commands.mkdir(parents=True)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    return {key: value for key, value in os.environ.items() if not key.startswith("RAY")} | {
        "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(root),
        "USER": "somebody",
        "CACHE": str(root / "cache"),
        "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_CPUS_PER_TASK": "1",
    }
