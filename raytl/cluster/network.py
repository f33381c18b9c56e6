"""The process group on the interface that Ray reaches its machines by, where a machine has several."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from torch.distributed import distributed_c10d

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
        super().on_start(worker_group, backend_config)


def choose_interface() -> None:
    """Name the interface of this node's Ray address to gloo and NCCL, unless the user has named one."""
    import ray

    name = interface_of(ray.util.get_node_ip_address())
    if name is not None:
        for variable in _VARIABLES:
            os.environ.setdefault(variable, name)


def interface_of(address: str) -> str | None:
    """The network interface that has this address, such as `eth0`."""
    found = psutil.net_if_addrs().items()
    return next((name for name, has in found if any(each.address == address for each in has)), None)


def be_patient() -> None:
    """Let collectives wait for a rank whose node still pulls images, now that the ranks have found each other; what
    hangs, the driver finds out (`hang`)."""
    distributed_c10d._set_pg_timeout(timedelta(days=1))
