"""Processor seconds of a tree of processes, by what each process does: those that have ended are counted too."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from types import TracebackType

import psutil

_ROLES = (
    (r"raylet/raylet", "raylet"),
    (r"gcs_server", "GCS"),
    (r"ray::_?Coordinator", "raytl's coordinator"),
    (r"ray::TrainController", "Ray Train's controller"),
    (r"ray::(RayTrain)?Worker|ray::execute|ray::run", "workers"),
    (r"ray::Synchronization", "Ray Train's barrier"),
    (r"ray::_?AutoscalingCoord", "Ray Train's autoscaling actor"),
    (r"ray::PlacementGroupCl", "Ray Train's placement group cleaner"),
    (r"ray::JobSupervisor", "job supervisor"),
    (r"ray::DashboardAgent|dashboard/agent|ray::RuntimeEnvAgent|runtime_env/agent", "agents of the node"),
    (r"ray::ResourceTrainable|ray::TrialActor", "trials"),
    (r"ray::IDLE|default_worker", "idle workers"),
    (r"ray-dashboard|dashboard/dashboard", "dashboard"),
    (r"log_monitor", "log monitor"),
    (r"monitor\.py", "autoscaler's monitor"),
    (r"scripts start|scripts\.scripts", "ray start"),
    (r"scale_run|start_run|-m raytl", "driver"),
)


def role_of(command: str) -> str:
    """Return what the process of this command line does, in Ray's terms."""
    return next((role for pattern, role in _ROLES if re.search(pattern, command)), command[:40])


class ProcessorSeconds:
    """Samples the processes below `root` while inside; `by_role` returns their processor seconds since the start."""

    def __init__(self, root: int, every_s: float = 0.3) -> None:
        self._root, self._every_s = psutil.Process(root), every_s
        self._first: dict[tuple[int, float], float] = {}
        self._last: dict[tuple[int, float], tuple[str, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> ProcessorSeconds:
        for key, (_, seconds) in self._sample().items():
            self._first[key] = seconds
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def by_role(self) -> dict[str, float]:
        """Return the processor seconds by role."""
        self._last |= self._sample()
        totals: Counter[str] = Counter()
        for key, (command, seconds) in self._last.items():
            totals[role_of(command)] += seconds - self._first.get(key, 0.0)  # type: ignore[assignment]
        return dict(totals)

    def _poll(self) -> None:
        while not self._stop.wait(self._every_s):
            self._last |= self._sample()

    def _sample(self) -> dict[tuple[int, float], tuple[str, float]]:
        found = {}
        for process in self._root.children(recursive=True):
            try:
                with process.oneshot():
                    used, command = process.cpu_times(), " ".join(process.cmdline())
                    if command:  # not a zombie
                        found[process.pid, process.create_time()] = command, used.user + used.system
            except psutil.Error:
                continue
        return found


def measured(root: int, seconds: float) -> dict[str, float]:
    """Return the processor seconds by role of the processes below `root` in the next `seconds`."""
    with ProcessorSeconds(root, every_s=seconds) as meter:
        time.sleep(seconds)
        return meter.by_role()
