"""The torch process group: it uses the interface of the node's Ray address; on one machine, no other user can reach it."""

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
    """Ray Train's torch config, set up after each worker has chosen its network interface."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """Return the backend that sets up the process group."""
        return _GroupBackend


class _GroupBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(choose_interface)
        if (file := _rendezvous_file()) is None:
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


def _rendezvous_file() -> Path | None:
    """Return a new rendezvous file if all ranks are on this machine, else None.

    Across machines they meet at a TCP port, which torch opens on every interface and without authentication.
    """
    node: Any = ray._private.worker._global_node
    if not ip_address(node.node_ip_address).is_loopback:
        return None
    return Path(node.get_session_dir_path()) / f"group-{uuid.uuid4().hex}"


def choose_interface() -> None:
    """Set the interface of this node's Ray address for Gloo and NCCL, unless the user has set one."""
    name = interface_of(ray.util.get_node_ip_address())
    if name is not None:
        for variable in _VARIABLES:
            os.environ.setdefault(variable, name)


def extend_collective_timeout() -> None:
    """Let collectives wait for a rank whose node is still downloading images; the driver detects hangs (`hang`)."""
    distributed_c10d._set_pg_timeout(timedelta(days=1))
