"""A local Ray cluster, whose nodes are groups of processes that can be killed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

TOKEN = "a-token-for-the-bench-0123456789"
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_LD_PRELOAD_ON_WORKERS": "1",
    "OMP_NUM_THREADS": "1",
}


class Nodes:
    """A head and its nodes; `close` stops the remaining ones."""

    def __init__(self, head_cpus: int = 0) -> None:
        self._scratch = tempfile.mkdtemp(prefix="raytl-")  # a short path, for sockets
        self.port, self.dashboard_port = free_port(), free_port()
        self.nodes: list[subprocess.Popen[bytes]] = []
        self._head(head_cpus)

    @property
    def address(self) -> str:
        """Return host:port of the head."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Return the URL of the job server."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    def add(self, cpus: int = 1) -> subprocess.Popen[bytes]:
        """Add a node, and wait until it has joined."""
        # its own directory, as on its own machine: nodes that share one unpack a job's code over each other's
        folder = str(Path(self._scratch, str(len(self.nodes))))
        words = ("--address", self.address, "--num-cpus", str(cpus), "--temp-dir", folder)
        self.nodes.append(self._start(*words))

        def joined() -> bool:
            if self.nodes[-1].poll() is not None:  # a port was taken meanwhile, or the machine is overloaded
                self.nodes[-1] = self._start(*words)
            return self._alive() >= len(self.nodes)

        wait_for(joined, "a node that joins")
        return self.nodes[-1]

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Kill all processes that `ray start` of that node started."""
        _kill(_tree(node))
        node.wait()
        self.nodes.remove(node)

    def close(self) -> None:
        """Stop all nodes."""
        for node in reversed(self.nodes):
            _kill(_tree(node))
            node.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _head(self, cpus: int) -> None:
        words = ["--head", "--port", str(self.port), "--dashboard-host", "127.0.0.1", "--num-cpus", str(cpus)]
        words += ["--dashboard-port", str(self.dashboard_port), "--ray-client-server-port", str(free_port())]
        self.nodes.append(self._start(*words, "--temp-dir", self._scratch, "--disable-usage-stats"))
        wait_for(lambda: self._alive() > 0, "a head that answers")

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, "--block"]
        for option in ("--dashboard-agent-listen-port", "--dashboard-agent-grpc-port", "--metrics-export-port"):
            command += [option, str(free_port())]
        env = {**os.environ, **ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
        log = Path(self._scratch, "nodes.log").open("ab")  # noqa: SIM115 - the node has it
        return subprocess.Popen(
            [*command, "--object-store-memory", "100000000"],
            env=env,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )

    def _alive(self) -> int:
        request = urllib.request.Request(f"{self.url}/nodes?view=summary", headers={"Authorization": f"Bearer {TOKEN}"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.read().count(b'"ALIVE"'))
        except OSError:
            return 0


def _tree(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes of the node, including those in their own sessions."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(node.pid)
        return [process, *process.children(recursive=True)]
    return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def wait_for(done: Callable[[], bool], what: str, seconds: float = 600.0) -> None:
    """Wait until `done`; exit if it takes too long."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise SystemExit(f"the bench waited {seconds:g} s for {what}")
        time.sleep(0.1)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
