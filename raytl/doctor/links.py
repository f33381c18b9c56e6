"""Network bandwidth as training sees it: an all_reduce of gradient size in a torch process group, one process per machine."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from raytl.errors import RaytlError, first_line

_BYTES = 32 << 20
_ROUNDS = 4
GROUP_S = 30


@dataclass(frozen=True)
class Link:
    """The duration of an all_reduce of `bytes` over these nodes, or the `error` that prevented it."""

    nodes: tuple[str, ...]
    backend: str
    bytes: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth per link: a ring moves 2 (n - 1) / n of the bytes over each."""
        count = max(len(self.nodes), 2)
        return 2 * (count - 1) / count * self.bytes / self.seconds if self.seconds else 0.0


def time_all_reduce(rank: int, size: int, address: str, backend: str) -> float:
    """Return the seconds of the fastest all_reduce over `size` processes that meet at `address` (host:port).

    Every process must call this.

    Raises:
        RaytlError: the processes do not meet, or one of them leaves.
    """
    import torch
    import torch.distributed as dist

    from raytl.cluster.interface import interface_of

    if name := interface_of(address.rpartition(":")[0]):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
    device = torch.device("cuda" if backend == "nccl" else "cpu")
    try:
        store = _store(rank, size, address)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=GROUP_S))
        try:
            content = torch.ones(_BYTES // 4, device=device)
            dist.all_reduce(content)  # connects
            dist.barrier()
            return min(_seconds(content) for _ in range(_ROUNDS))
        finally:
            dist.destroy_process_group()
    except (RuntimeError, ValueError, OSError) as exc:
        raise RaytlError(f"rank {rank} at {address}: {first_line(exc)}") from exc


def _store(rank: int, size: int, address: str) -> Any:
    """Return the rendezvous store; unless the address is a loopback, torch listens on every address of rank 0's machine."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not in __all__

    host, _, port = address.rpartition(":")
    timeout = timedelta(seconds=GROUP_S)
    if rank:
        return TCPStore(host, int(port), size, False, timeout)
    listening = socket.create_server((host if ip_address(host).is_loopback else "", int(port)))
    # the store closes this socket
    return TCPStore(host, int(port), size, True, timeout, master_listen_fd=listening.detach())


def _seconds(content: Any) -> float:
    """Return the seconds of one all_reduce."""
    import torch
    import torch.distributed as dist

    began = time.monotonic()
    dist.all_reduce(content)
    if content.is_cuda:
        torch.cuda.synchronize()
    return time.monotonic() - began


def link(nodes: tuple[str, ...], backend: str, seconds: list[float]) -> Link:
    """Return the link as measured by the slowest process."""
    return Link(nodes, backend, _BYTES, max(seconds))
