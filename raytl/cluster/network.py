"""The process group: over the interface that Ray reaches its machines by, and unreachable for others on one machine."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend
from torch.distributed import distributed_c10d

from raytl.cluster.interface import interface_of

_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class GroupConfig(TorchConfig):
    """Ray Train's torch set-up, after each worker has chosen its interface."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What Ray Train sets the group up with."""
        return _GroupBackend


class _GroupBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(choose_interface)
        if (file := _meeting_file()) is None:
            super().on_start(worker_group, backend_config)
            return
        worker_group.execute(_set_torch_distributed_env_vars)
        group: dict[str, Any] = {
            "backend": backend_config.backend,
            "init_method": file.as_uri(),
            "world_size": len(worker_group),
            "timeout_s": backend_config.timeout_s,
        }
        ranks = range(len(worker_group))
        start = worker_group.execute_single_async
        ray.get([start(rank, _setup_torch_process_group, world_rank=rank, **group) for rank in ranks])


def _meeting_file() -> Path | None:
    """Return a new file for the ranks to find each other by, where all are on this machine; None where they may not be.

    Elsewhere they meet at a TCP port, which torch opens on every interface and which asks for no token.
    """
    node: Any = ray._private.worker._global_node
    if not ip_address(node.node_ip_address).is_loopback:
        return None
    return Path(node.get_session_dir_path()) / f"group-{uuid.uuid4().hex}"


def choose_interface() -> None:
    """Name the interface of this node's Ray address to gloo and NCCL, unless the user has named one."""
    name = interface_of(ray.util.get_node_ip_address())
    if name is not None:
        for variable in _VARIABLES:
            os.environ.setdefault(variable, name)


def be_patient() -> None:
    """Let collectives wait for a rank whose node still pulls images, now that the ranks have found each other; what
    hangs, the driver finds out (`hang`)."""
    distributed_c10d._set_pg_timeout(timedelta(days=1))
