"""What another user of the machine tries against an embedded Ray: `python intruder.py PLAN` as root, which it gives up first.

PLAN is a JSON object: `uid`; `paths` (files, folders and sockets), `pids`, `calls` (pairs of a gRPC server's host:port and a
method), `http` (addresses), `gcs` (the head's address) and `tokens` (that are not the session's). It prints a JSON object of what each
attempt ended in.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from ray._raylet import AuthenticationTokenLoader, Config, GcsClient

#: A harmless method of each kind of gRPC server that Ray starts.
METHODS = (
    "InternalKVGcsService/InternalKVKeys",
    "NodeManagerService/GetSystemConfig",
    "ObjectManagerService/Pull",
    "CoreWorkerService/GetCoreWorkerStats",
    "ReporterService/GetTraceback",
)
_SOCKET_BYTES = 107
"""The longest path of a Unix socket (unix(7))."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def become(uid: int) -> None:
    """Give up root for good, as an exec by another user would: that user may not be able to run this Python."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def protocol(address: str) -> str:
    """Return "grpc", "http", or "other" for a server that says nothing to a client of either."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=1) as client:
        client.sendall(_PREFACE)
        try:
            answer = client.recv(1)
        except (TimeoutError, ConnectionError):
            return "other"
    if not answer:
        return "other"
    return "grpc" if answer[0] == 0 else "http"


def call(address: str, method: str, token: str | None) -> str:
    """Return the status of an empty gRPC call, such as UNAUTHENTICATED, UNIMPLEMENTED or OK."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(f"/ray.rpc.{method}")(b"", metadata=metadata, timeout=5)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def post(address: str, token: str | None) -> int:
    """Return the status of an empty request to make a runtime environment, which Ray's agent for those obeys."""
    request = urllib.request.Request(f"http://{address}/get_or_create_runtime_env", data=b"")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _ended(action: Callable[[], Any]) -> str:
    """Return "done", or the name of the error that `action` ends in."""
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"


def _attempts(path: Path) -> dict[str, str]:
    """Return what reading, writing, moving, listing or connecting to `path` ends in."""

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))

    tried: dict[str, Callable[[], Any]] = {
        "list": lambda: os.listdir(path),  # noqa: PTH208 - iterdir does nothing before its first step
        "read": path.read_bytes,
        "write": lambda: path.open("r+b").close(),
        "create": (path.parent / "intruder").touch,
        **({"connect": connect} if len(os.fsencode(path)) <= _SOCKET_BYTES else {}),
        "move": lambda: path.rename(path.with_name("moved")),
    }
    return {name: _ended(action) for name, action in tried.items()}


def _ask_head(address: str, token: str | None) -> str:
    """Return "done", or the error that Ray's own client ends in when it asks the head for its keys."""
    os.environ["RAY_AUTH_MODE"] = "token" if token else "disabled"
    os.environ["RAY_AUTH_TOKEN"] = token or ""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        GcsClient(address=address).internal_kv_keys(b"", b"", timeout=5)
    except Exception as error:  # Ray's errors have no common class
        return type(error).__name__
    return "done"


def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what each attempt ended in."""
    become(plan["uid"])
    tokens = [None, *plan["tokens"]]
    return {
        "uids": os.getresuid(),
        "paths": {path: _attempts(Path(path)) for path in plan["paths"]},
        "environ": {pid: _ended(Path(f"/proc/{pid}/environ").read_bytes) for pid in plan["pids"]},
        "fds": {pid: _ended(lambda pid=pid: os.listdir(f"/proc/{pid}/fd")) for pid in plan["pids"]},  # type: ignore[misc]  # noqa: PTH208
        "shared": [str(path) for path in Path("/dev/shm").glob("*plasma*") if os.access(path, os.R_OK)],
        "calls": {
            f"{port} {method}": [call(port, method, token) for token in tokens] for port, method in plan["calls"]
        },
        "http": {at: [post(at, token) for token in tokens] for at in plan["http"]},
        "head": [_ask_head(plan["gcs"], token) for token in tokens],
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
