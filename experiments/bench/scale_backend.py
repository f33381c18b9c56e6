"""Set up the process group with marks before and after; imported only on Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.bench.scale_run import mark
from raytl.cluster.network import GroupConfig, _GroupBackend


@dataclass
class TimedGroup(GroupConfig):
    """Write marks into the run at `root`."""

    root: str = ""

    @property
    def backend_cls(self) -> type:
        """Return the backend for the controller."""
        return _Timed


class _Timed(_GroupBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        mark(backend_config.root, "placed")
        super().on_start(worker_group, backend_config)
        mark(backend_config.root, "process group")
