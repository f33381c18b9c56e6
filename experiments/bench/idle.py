"""Measure what Ray takes of a core while two workers do nothing: a plain `TorchTrainer`, and raytl's group of this tree.

    python -m experiments.bench.idle torchtrainer
    python -m experiments.bench.idle raytl
    cd ../before && PYTHONPATH=.:../after python -m experiments.bench.idle raytl    # another tree, if it has no such file

The same embedded Ray as raytl's has no dashboard; `torchtrainer` is `ray.init()` as in Ray's documentation, with all its
processes. Prints percent of a core by process.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from experiments.bench.processes import measured

_SETTLE_S, _SECONDS = 5.0, 30.0


def wait_for_end(folder: str) -> int:
    """Create `began` in the folder, and return once it has a file `end`."""
    Path(folder, "began").touch()
    while not Path(folder, "end").exists():
        time.sleep(0.5)
    return 0


def _loop(config: dict[str, Any]) -> None:
    wait_for_end(config["folder"])


def _on_worker(world: Any, folder: str, emit: Any) -> int:
    return wait_for_end(folder)


def _print_share(folder: str) -> None:
    while not Path(folder, "began").exists():
        time.sleep(0.5)
    time.sleep(_SETTLE_S)
    before = psutil.Process().cpu_times()
    shares = measured(os.getpid(), _SECONDS)
    after = psutil.Process().cpu_times()
    shares["driver"] = after.user + after.system - before.user - before.system
    for role, seconds in sorted(shares.items(), key=lambda each: -each[1]):
        print(f"| {role} | {100 * seconds / _SECONDS:.1f} % |")
    print(f"| **all** | **{100 * sum(shares.values()) / _SECONDS:.1f} %** |", flush=True)
    Path(folder, "end").touch()


def _torchtrainer(folder: str) -> None:
    import ray
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import RunConfig, ScalingConfig

    ray.init(num_cpus=2, log_to_driver=False)
    scaling, run = ScalingConfig(num_workers=2), RunConfig(name="empty", storage_path=folder)
    TorchTrainer(_loop, train_loop_config={"folder": folder}, scaling_config=scaling, run_config=run).fit()


def _raytl(folder: str) -> None:
    from raytl.cluster.worker_group import run_group
    from raytl.config.schema import ComputeConfig
    from raytl.events import ignore

    compute = ComputeConfig(cluster="local", workers=2, device="cpu")
    run_group(_on_worker, folder, compute, scratch=Path(folder, "scratch"), on_event=ignore)


if __name__ == "__main__":
    from experiments.bench import idle  # so that workers find its functions by name

    with tempfile.TemporaryDirectory() as place:
        threading.Thread(target=_print_share, args=(place,), daemon=True).start()
        {"torchtrainer": idle._torchtrainer, "raytl": idle._raytl}[sys.argv[1]](place)
