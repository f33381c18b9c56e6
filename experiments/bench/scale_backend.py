"""raytl's set-up of a process group, with marks before and after it; imported where Ray is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.bench.scale_run import mark
from raytl.cluster.network import GroupConfig, _GroupBackend


@dataclass
class TimedGroup(GroupConfig):
    """Writes its marks into the run at `root`."""

    root: str = ""

    @property
    def backend_cls(self) -> type:
        """The backend that the controller makes."""
        return _Timed


class _Timed(_GroupBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        mark(backend_config.root, "placed")
        super().on_start(worker_group, backend_config)
        mark(backend_config.root, "process group")
