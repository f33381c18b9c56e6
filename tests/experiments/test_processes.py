"""The bench's count of processor seconds by process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from experiments.bench.processes import ProcessorSeconds, role_of

_SPIN = "import time\nwhile time.process_time() < 0.3: pass"


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/x/raylet/raylet --python_worker_command=/x/default_worker.py", "raylet"),
        ("ray::_CoordinatorActor", "raytl's coordinator"),
        ("ray::RayTrainWorker.execute", "workers"),
        ("ray::IDLE", "idle workers"),
        ("python -m raytl train a.yaml", "driver"),
    ],
)
def test_a_process_is_named_by_what_it_does(command: str, role: str) -> None:
    assert role_of(command) == role


def test_the_seconds_of_a_process_that_has_ended_are_counted() -> None:
    with ProcessorSeconds(os.getpid(), every_s=0.02) as meter:
        subprocess.run([sys.executable, "-c", _SPIN, "-m raytl"], check=True)
        assert meter.by_role()["driver"] > 0.1
