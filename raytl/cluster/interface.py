"""Which network interface has an address; apart from `network`, whose imports take seconds."""

from __future__ import annotations

import psutil


def interface_of(address: str) -> str | None:
    """The network interface that has this address, such as `eth0`."""
    found = psutil.net_if_addrs().items()
    return next((name for name, has in found if any(each.address == address for each in has)), None)
