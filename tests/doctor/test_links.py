"""The network is measured over a process group that meets at one address."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest
import torch.distributed as dist
import torch.multiprocessing as mp

from raytl.doctor import links


def _measure(rank: int, address: str, folder: str) -> None:
    os.environ.pop("GLOO_SOCKET_IFNAME", None)
    real, listening = dist.all_reduce, set[str]()

    def all_reduce(*args: object) -> None:
        real(*args)
        connections = psutil.Process().net_connections("inet")
        listening.update(each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_reduce", all_reduce)
        patch.setattr(links, "_BYTES", 1 << 10)
        assert links.time_all_reduce(rank, 2, address, "gloo") > 0
    (Path(folder) / str(rank)).write_text(" ".join(listening))


def test_both_processes_listen_only_at_the_given_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    mp.start_processes(_measure, (address, str(tmp_path)), nprocs=2, start_method="fork")
    assert [(tmp_path / name).read_text() for name in ("0", "1")] == ["127.0.0.1"] * 2
