"""The network interface of an address."""

from __future__ import annotations

import psutil

from raytl.cluster.interface import interface_of


def test_the_interface_is_found_by_its_address() -> None:
    for name, addresses in psutil.net_if_addrs().items():
        assert interface_of(addresses[0].address) == name


def test_an_unknown_address_has_no_interface() -> None:
    assert interface_of("192.0.2.77") is None
