"""The network interface of an address; separate from `network`, whose imports take seconds."""

from __future__ import annotations

import psutil


def interface_of(address: str) -> str | None:
    """Return the network interface that has this address, such as `eth0`."""
    interfaces = psutil.net_if_addrs().items()
    return next((name for name, bound in interfaces if any(each.address == address for each in bound)), None)
