"""Hosts on one machine: network namespaces with their own addresses on a bridge, whose links can be cut.

    bridge (10.x.y.1, this machine)
      |- host 0  10.x.y.10
      |- host 1  10.x.y.11 ...

Requires root and `ip` (iproute2). All hosts see the same files, like machines with a shared file system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress


def available() -> bool:
    """Return True if namespaces can be created: as root, with iproute2."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"rtl{os.getpid() % 100000}t"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", name], check=False)
    return made


class Hosts:
    """A bridge and its hosts; must be closed."""

    def __init__(self) -> None:
        number = os.getpid() % 60000
        self._tag, self._net = f"rtl{number}", f"10.{64 + number // 250 % 128}.{number % 250}"
        self._names: dict[int, str] = {}
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self._net}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    @property
    def _bridge(self) -> str:
        return f"{self._tag}b"

    @property
    def here(self) -> str:
        """Return the address of this machine on the bridge."""
        return f"{self._net}.1"

    def add(self, number: int) -> str:
        """Create the host of this number if needed; return its address."""
        if number not in self._names:
            name, outer, inner = f"{self._tag}h{number}", self._cable(number), f"{self._tag}i{number}"
            _ip("netns", "add", name)
            self._names[number] = name
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            _ip("link", "set", inner, "netns", name)
            _ip("link", "set", outer, "master", self._bridge, "up")
            _ip("-n", name, "addr", "add", f"{self._net}.{10 + number}/24", "dev", inner)
            _ip("-n", name, "link", "set", inner, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        return f"{self._net}.{10 + number}"

    def inside(self, number: int) -> list[str]:
        """Return the command prefix that runs a command on the host."""
        return ["ip", "netns", "exec", self._names[number]]

    def cut(self, number: int) -> None:
        """Drop all traffic of the host until `heal`."""
        _ip("link", "set", self._cable(number), "nomaster")

    def heal(self, number: int) -> None:
        """Reconnect the host."""
        _ip("link", "set", self._cable(number), "master", self._bridge)

    def close(self) -> None:
        """Remove the hosts and the bridge."""
        for number, name in self._names.items():
            with suppress(subprocess.CalledProcessError):
                _ip("link", "del", self._cable(number))
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._bridge)

    def _cable(self, number: int) -> str:
        return f"{self._tag}o{number}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
