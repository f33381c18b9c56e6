"""OpenStack Swift with its S3 API: one process per server, and memcached; one replica, in one directory.

    python -m tests.servers.swift start FOLDER    prints the environment for a shell
    python -m tests.servers.swift stop FOLDER

`tests/servers/install-swift.sh` installs the packages; their /etc/swift/swift.conf is used unchanged.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KEY, SECRET = "raytl:tests", "swift-secret-0123456789"
REGION = "us-east-1"
_SERVERS = ("account", "container", "object", "proxy")
_PARTS = ("memcached", *_SERVERS)
_SETTINGS = Path("/etc/swift/swift.conf")
_START_S = 60.0
_STOP_S = 10.0

_COMMON = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
log_level = WARNING

"""
_STORAGE = """\
[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
"""
# The order of Swift's sample configuration, with s3api at its documented place and without rate limits.
_PROXY = """\
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-logging proxy-server

[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}

[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{person} = {secret} .admin

[filter:s3api]
use = egg:swift#s3api
location = {region}
s3_acl = false
"""
_FILTERS = (
    "catch_errors gatekeeper healthcheck proxy-logging listing_formats bulk copy slo dlo versioned_writes symlink"
)


class SwiftMissing(Exception):
    """Swift cannot run here; the text says why and what to do."""


@dataclass(frozen=True)
class Swift:
    """A running Swift: its address and its processes."""

    endpoint: str
    pids: tuple[int, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Return the arguments for boto3."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
        }


def missing() -> str:
    """Return why Swift cannot run on this machine, or an empty text."""
    wanted = [f"swift-{name}-server" for name in _SERVERS] + ["swift-ring-builder"]
    absent = [name for name in [*wanted, "memcached"] if shutil.which(name) is None]
    if absent:
        return f"OpenStack Swift is not installed ({', '.join(absent)}); as root: tests/servers/install-swift.sh"
    if not os.access(_SETTINGS, os.R_OK):
        return f"{_SETTINGS} cannot be read, and Swift's servers want it; it comes with the package python3-swift"
    return ""


def start(folder: Path) -> Swift:
    """Start Swift in `folder`, which is empty or from an earlier start, and wait until it answers.

    Raises:
        SwiftMissing: it is not installed, or the file system has no extended attributes.
        RuntimeError: a server does not start; the text has the ends of the logs.
    """
    if reason := missing():
        raise SwiftMissing(reason)
    folder = folder.absolute()
    (folder / "devices" / "d1").mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    _check_attributes(folder)
    ports = dict(zip(_PARTS, _free_ports(len(_PARTS)), strict=True))
    for name in _SERVERS:
        _configure(folder, name, ports)
        if name != "proxy":
            _make_ring(folder, name, ports[name])
    swift = Swift(
        f"http://127.0.0.1:{ports['proxy']}",
        tuple(_launch(folder, name, _words(folder, name, ports)) for name in _PARTS),
    )
    (folder / "pids").write_text("".join(f"{pid}\n" for pid in swift.pids))
    try:
        _wait_until(lambda: _answers(swift, list(ports.values())), _START_S)
    except TimeoutError:
        stop(folder)
        raise RuntimeError(f"Swift does not answer after {_START_S:.0f} s; {_last_lines(folder)}") from None
    return swift


def stop(folder: Path) -> None:
    """Stop the servers that were started in `folder`, and no other process."""
    kept = folder.absolute() / "pids"
    if not kept.exists():
        return
    pids = [pid for pid in map(int, kept.read_text().split()) if _is_ours(pid, folder.absolute())]
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            if _is_ours(pid, folder.absolute()):
                os.kill(pid, sign)
        try:
            _wait_until(lambda: not any(_is_ours(pid, folder.absolute()) for pid in pids), _STOP_S)
            break
        except TimeoutError:
            continue
    for pid in pids:
        with suppress(ChildProcessError):  # not a child of this process
            os.waitpid(pid, 0)
    kept.unlink()


def _check_attributes(folder: Path) -> None:
    """Return True if the file system has extended attributes, in which Swift stores metadata."""
    try:
        os.setxattr(folder / "devices" / "d1", "user.swift.try", b"1")
    except OSError as error:
        raise SwiftMissing(
            f"{folder}: its file system has no extended attributes ({error.strerror}), and Swift keeps metadata there; "
            "give a folder on ext4, xfs or btrfs (for tests: TMPDIR, or pytest --basetemp)"
        ) from None


def _configure(folder: Path, name: str, ports: dict[str, int]) -> None:
    account, _, person = KEY.partition(":")
    form = _COMMON + (_PROXY if name == "proxy" else _STORAGE)
    text = form.format(
        port=ports[name], cache=ports["memcached"], user=getpass.getuser(), folder=folder, name=name,
        account=account, person=person, secret=SECRET, region=REGION,
    )  # fmt: skip
    if name == "proxy":
        text += "".join(f"\n[filter:{part}]\nuse = egg:swift#{part.replace('-', '_')}\n" for part in _FILTERS.split())
    (folder / f"{name}.conf").write_text(text)


def _make_ring(folder: Path, name: str, port: int) -> None:
    """Build a ring of 16 partitions with one device and one replica."""
    builder = folder / f"{name}.builder"
    builder.unlink(missing_ok=True)
    for words in (["create", "4", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance", "--force"]):
        done = _ran(["swift-ring-builder", str(builder), *words])
        if done.returncode > 1:  # 1 is a warning
            raise RuntimeError(f"swift-ring-builder {' '.join(words)} failed: {done.stdout}{done.stderr}")


def _ran(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=_environment(), capture_output=True, text=True, check=False)


def _words(folder: Path, name: str, ports: dict[str, int]) -> list[str]:
    """Return the command of a server; it includes the directory, by which `stop` identifies it."""
    if name == "memcached":
        pid = str(folder / "memcached.pid")
        return ["memcached", "-l", "127.0.0.1", "-p", str(ports[name]), "-u", getpass.getuser(), "-m", "64", "-P", pid]
    return [f"swift-{name}-server", str(folder / f"{name}.conf"), "--verbose"]


def _launch(folder: Path, name: str, words: list[str]) -> int:
    """Start a process that outlives this one; return its id."""
    log = str(folder / "logs" / f"{name}.log")
    redirected = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(words[0], words, _environment(), file_actions=redirected, setsid=True)


def _environment() -> dict[str, str]:
    """Return the environment without this Python's paths, because Swift uses the system's Python."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _answers(swift: Swift, ports: list[int]) -> bool:
    for port in ports:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return False
    try:
        with urllib.request.urlopen(f"{swift.endpoint}/healthcheck", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait_until(done: Callable[[], bool], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > until:
            raise TimeoutError
        threading.Event().wait(0.1)


def _is_ours(pid: int, folder: Path) -> bool:
    """Return True while `pid` is a server of `folder`; process ids are reused."""
    try:
        return f"{folder}/".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _last_lines(folder: Path) -> str:
    logs = sorted((folder / "logs").glob("*.log"))
    return "\n".join(f"{log}: {log.read_text(errors='replace')[-500:]}" for log in logs)


def main(words: list[str]) -> int:
    """Start or stop Swift from a shell."""
    if len(words) != 2 or words[0] not in ("start", "stop"):
        print(__doc__, file=sys.stderr)
        return 2
    if words[0] == "stop":
        stop(Path(words[1]))
        return 0
    try:
        swift = start(Path(words[1]))
    except SwiftMissing as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(f"export {name}={value}" for name, value in swift.environment.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
