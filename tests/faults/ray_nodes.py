"""A Ray cluster with a token, one node per host; nodes can be killed, drained, cut off and added."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.faults.hosts import Hosts

TOKEN = "a-token-for-tests-0123456789"
PORT = 6379
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def until(done: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """Return the first true result of `done`; fail with `what` after the timeout."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := done():
            return result
        threading.Event().wait(0.1)
    raise TimeoutError(f"{what}: not within {seconds:g} s")


class RayNodes:
    """A cluster whose head is host 0, without CPUs; the other hosts have one each."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts, self._folder = hosts, folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._scratch = ""

    @property
    def address(self) -> str:
        return f"{self.hosts.add(0)}:{PORT}"

    def environment(self, number: int) -> dict[str, str]:
        """Return the host's environment: its own cache, and the token."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        return inherited | {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
            "RAY_LD_PRELOAD_ON_WORKERS": "1",
            "RAY_worker_niceness": "0",
            "RAYTL_CACHE": str(self.cache(number)),
            "OMP_NUM_THREADS": "1",
        }

    def cache(self, number: int) -> Path:
        """Return the host's own data directory."""
        place = self._folder / f"cache-{number}"
        place.mkdir(exist_ok=True)
        return place

    def start(self, number: int, cpus: int = 1) -> None:
        """Start the host's Ray node; on host 0, a new cluster."""
        address = self.hosts.add(number)
        words = ["--node-ip-address", address, "--block", "--object-store-memory", "80000000"]
        if number == 0:
            self._scratch = tempfile.mkdtemp(prefix="rtlf-")
            words += ["--head", "--port", str(PORT), "--num-cpus", "0", "--include-dashboard", "false"]
            words += ["--temp-dir", self._scratch, "--disable-usage-stats"]
        else:
            words += ["--address", self.address, "--num-cpus", str(cpus)]
        command = [*self._inside(number), *RAY, "start", *words]
        with (self._folder / f"node-{number}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                command, env=self.environment(number), start_new_session=True, stdout=log, stderr=subprocess.STDOUT
            )
        until(lambda: self.raylet(number), f"the raylet of host {number}")

    def _inside(self, number: int) -> list[str]:
        """Return the command prefix for the host, with its own directory in place of the head's Ray sockets."""
        if number == 0:
            return self.hosts.inside(0)
        own = self._folder / f"ray-{number}"
        own.mkdir(exist_ok=True)
        mount = 'mount --bind "$0" "$1" && shift && exec "$@"'
        return [*self.hosts.inside(number), "sh", "-c", mount, str(own), self._scratch]

    def raylet(self, number: int) -> psutil.Process | None:
        """Return the node's main process."""
        return next((p for p in self.processes(number) if Path((p.cmdline() or [""])[0]).name == "raylet"), None)

    def processes(self, number: int) -> list[psutil.Process]:
        """Return all processes of the host's Ray node."""
        process = self._processes.get(number)
        if process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(process.pid)
            return [p for p in [top, *top.children(recursive=True)] if _alive(p)]
        return []

    def workers(self) -> list[psutil.Process]:
        """Return the train workers of all hosts, without their loader processes."""
        workers = [
            p for number in list(self._processes) for p in self.processes(number) if _name(p) == "RayTrainWorker"
        ]
        pids = {p.pid for p in workers}
        return [p for p in workers if p.ppid() not in pids]

    def kill_raylet(self, number: int) -> None:
        """Kill the node's main process with SIGKILL, as if the machine failed; the rest of the node exits."""
        raylet: psutil.Process = until(lambda: self.raylet(number), f"the raylet of host {number}")
        raylet.kill()
        self.stop(number)

    def supervise(self, *numbers: int) -> None:
        """Keep these hosts in the cluster, as systemd or a kubelet would: restart exited nodes."""

        def there() -> bool:
            self.keep(*numbers)
            return {self.hosts.add(number) for number in numbers} <= self.alive()

        until(there, f"hosts {numbers} in the cluster", 180)

    def keep(self, *numbers: int) -> None:
        """Restart the exited nodes of these hosts: a node that was cut off learns late that it was declared dead."""
        for number in numbers:
            process = self._processes.get(number)
            if process is None or process.poll() is not None:
                self.stop(number)
                self.start(number)

    def stop(self, number: int) -> None:
        """Stop the host's node and all its processes."""
        process = self._processes.pop(number, None)
        if process is None:
            return
        left = []
        with suppress(psutil.NoSuchProcess):
            left = psutil.Process(process.pid).children(recursive=True)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for child in left:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
        psutil.wait_procs(left, timeout=20)
        if number == 0:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def on(self, number: int, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Run a command on the host."""
        return subprocess.Popen([*self._inside(number), *command], env=self.environment(number), **options)

    def ask(self, code: str) -> str:
        """Run Python `code` on the head, connected to the cluster as `ray`; return its output."""
        program = (
            f"import ray, logging; ray.init({self.address!r}, logging_level=logging.ERROR, log_to_driver=False); {code}"
        )
        done = subprocess.run(
            [*self.hosts.inside(0), sys.executable, "-c", program],
            env=self.environment(0) | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip()

    def alive(self) -> set[str]:
        """Return the addresses of the cluster's nodes."""
        return set(self.ask("print(*[n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']])").split())

    def drain(self, number: int, seconds: int) -> None:
        """Send a preemption notice for the node."""
        address = self.hosts.add(number)
        code = f"print(next(n['NodeID'] for n in ray.nodes() if n['Alive'] and n['NodeManagerAddress'] == {address!r}))"
        words = ["drain-node", "--address", self.address, "--node-id", self.ask(code)]
        words += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        words += ["--deadline-remaining-seconds", str(seconds)]
        done = self.on(0, *RAY, *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = done.communicate(timeout=60)
        assert done.returncode == 0, out.decode()

    def close(self) -> None:
        """Stop all nodes."""
        for number in sorted(self._processes, reverse=True):
            self.stop(number)


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _name(process: psutil.Process) -> str:
    """Return `RayTrainWorker` of `ray::RayTrainWorker.run`."""
    with suppress(psutil.NoSuchProcess):
        words = process.cmdline()
        return words[0].removeprefix("ray::").split(".")[0].split("(")[0] if words else ""
    return ""
