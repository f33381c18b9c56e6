"""Another user of the machine gets nothing from an embedded Ray that trains: no file, no socket, no port that obeys.

One session with two training workers is live for all of the tests; `intruder.py` attacks it as the user 65534.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest

from raytl.cluster.worker_group import run_group
from raytl.config.schema import ComputeConfig
from raytl.events import ignore
from tests.cluster.group_work import meet_and_wait
from tests.security import intruder

_NOBODY = 65534
_LEFT = "5" * 64
"""A token that lies in the home folder, readable by all, as Ray writes it there."""

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@dataclass(frozen=True)
class Live:
    """The session: its token, Ray's folder, the home folder, its processes and their listening sockets `(name, ip, port)`."""

    token: str
    folder: Path
    home: Path
    address: str
    processes: list[psutil.Process]
    listening: list[tuple[str, str, int]]

    def servers(self, protocol: str) -> list[str]:
        """Return the host:port of each server that speaks `protocol`."""
        bound = [(ip.removeprefix("::ffff:"), port) for _, ip, port in self.listening]
        every = [f"{'127.0.0.1' if ip in {'::', '0.0.0.0'} else ip}:{port}" for ip, port in bound]
        return [each for each in every if intruder.protocol(each) == protocol]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An embedded Ray with two workers that have met, and wait."""
    import ray

    folder, before = tmp_path_factory.mktemp("live"), psutil.Process().children(recursive=True)
    servers = _listening([psutil.Process()])
    home = folder / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(_LEFT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            patch.delenv(name, raising=False)
        compute = ComputeConfig(cluster="local", workers=2, cpus_per_worker=1, device="cpu")
        thread = threading.Thread(
            target=run_group,
            args=(meet_and_wait, str(folder), compute),
            kwargs={"scratch": folder / "scratch", "on_event": ignore},
        )
        thread.start()
        try:
            while not (folder / "met").exists():
                thread.join(0.1)
                assert thread.is_alive(), "the workers ended before they met"
            yield _look(Path(ray._private.worker._global_node.get_session_dir_path()), home, before, servers)
        finally:
            (folder / "end").touch()
            thread.join()


def _listening(processes: list[psutil.Process]) -> list[tuple[str, str, int]]:
    return [
        (process.name(), found.laddr.ip, found.laddr.port)
        for process in processes
        if process.is_running()
        for found in process.net_connections("inet")
        if found.status == psutil.CONN_LISTEN
    ]


def _look(session: Path, home: Path, before: list[psutil.Process], servers: list[tuple[str, str, int]]) -> Live:
    """Return the session as it is, without the processes and servers of other tests, which were there `before` it."""
    import ray

    own = psutil.Process()
    processes = [own, *(each for each in own.children(recursive=True) if each not in before)]
    listening = [each for each in _listening(processes) if each not in servers]
    token = os.environ.get("RAY_AUTH_TOKEN", _LEFT)
    return Live(token, session.parent, home, ray.get_runtime_context().gcs_address, processes, listening)


@pytest.fixture(scope="module")
def attack(live: Live) -> dict[str, Any]:
    """What another user's attempts ended in."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    plan = {
        "uid": _NOBODY,
        "paths": [str(path) for path in (live.folder, *live.folder.rglob("*"))],
        "pids": [process.pid for process in live.processes],
        "calls": _calls(live),
        "http": live.servers("http"),
        "gcs": live.address,
        "tokens": ["0" * 64, _LEFT],
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, intruder.__file__, json.dumps(plan)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    assert result["uids"] == [_NOBODY] * 3
    return result


def _calls(live: Live) -> list[tuple[str, str]]:
    """Return each gRPC server with the method that it has, as the session's own token shows."""
    servers = live.servers("grpc")
    found = [
        (server, method)
        for server in servers
        for method in intruder.METHODS
        if intruder.call(server, method, live.token) == "OK"
    ]
    assert {method for _, method in found} == set(intruder.METHODS), "a kind of server was not found"
    assert [server for server, _ in found] == servers, "a server was not recognised"
    return found


def test_every_port_of_the_session_and_its_workers_is_on_loopback(live: Live) -> None:
    names = {name for name, _, _ in live.listening}
    assert {"gcs_server", "raylet", "ray::RayTrainWorker", "ray::DashboardAgent", "ray::RuntimeEnvAgent"} <= names
    outside = [each for each in live.listening if not ip_address(each[1].removeprefix("::ffff:")).is_loopback]
    assert not outside


def test_the_session_has_a_token_of_its_own_and_writes_none_down(live: Live) -> None:
    assert len(live.token) == 64
    assert live.token != _LEFT, "the token that lies in the home folder"
    assert [path.read_text() for path in live.home.rglob("*") if path.is_file()] == [_LEFT]
    files = [path for path in live.folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if live.token.encode() in path.read_bytes()]


def test_the_token_is_in_no_command_line(live: Live) -> None:
    assert not [process for process in live.processes if live.token in " ".join(process.cmdline())]


def test_no_grpc_server_obeys_another_user(attack: dict[str, Any]) -> None:
    assert attack["calls"]
    assert {status for statuses in attack["calls"].values() for status in statuses} == {"UNAUTHENTICATED"}


def test_no_http_server_obeys_another_user(live: Live, attack: dict[str, Any]) -> None:
    assert 200 in {intruder.post(server, live.token) for server in live.servers("http")}, "the agent was not found"
    refused = {status for statuses in attack["http"].values() for status in statuses}
    assert refused == {401, 403, 405}, "no token, another token, and exporters of metrics, which only answer GET"


def test_the_clients_of_another_user_are_refused_without_the_token(attack: dict[str, Any]) -> None:
    assert attack["head"] == ["AuthenticationError"] * 3


def test_another_user_can_do_nothing_in_the_folder_of_the_session(attack: dict[str, Any]) -> None:
    assert any(path.endswith("plasma_store") for path in attack["paths"])
    ends = {f"{action} {path}": end for path, tried in attack["paths"].items() for action, end in tried.items()}
    assert {attempt: end for attempt, end in ends.items() if end != "PermissionError"} == {}


def test_another_user_cannot_read_the_token_from_a_process(attack: dict[str, Any]) -> None:
    assert set(attack["environ"].values()) == {"PermissionError"}
    assert set(attack["fds"].values()) == {"PermissionError"}


def test_the_memory_of_the_object_store_has_no_name_to_open(live: Live, attack: dict[str, Any]) -> None:
    (raylet,) = [process for process in live.processes if process.name() == "raylet"]
    mapped = [line for line in Path(f"/proc/{raylet.pid}/maps").read_text().splitlines() if "plasma" in line]
    assert mapped, "the object store was not found"
    assert all(line.endswith("(deleted)") for line in mapped), mapped
    assert attack["shared"] == []
