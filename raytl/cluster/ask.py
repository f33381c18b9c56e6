"""Machines for a run, asked of Ray's autoscaler: raytl plans with the machines that are there, and starts none itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from raytl.cluster.session import nodes, session
from raytl.errors import Unavailable


def ask(gpus: int, wait_s: float, say: Callable[[str], None], poll_s: float = 2.0) -> int:
    """Ask the cluster that this machine belongs to for GPUs, and wait for them; how many there are then, looked at
    every `poll_s`.

    What is asked for stays until something else is: 0 lets idle machines go.

    Raises:
        Unavailable: no cluster runs here, or the GPUs did not come in time.
    """
    with session("auto"):
        from ray.autoscaler.sdk import request_resources

        logging.getLogger("ray").setLevel(logging.ERROR)
        request_resources(bundles=[{"GPU": 1}] * gpus)
        until, told = time.monotonic() + wait_s, -1
        while (found := int(sum(each for _, each in nodes()))) < gpus:
            if found != told:
                say(f"{found} of {gpus} GPUs are there")
                told = found
            if time.monotonic() >= until:
                raise Unavailable(
                    f"{found} of {gpus} GPUs are there after {wait_s:g} s. They are still asked for; --gpus 0 asks no more.\n"
                    "  Why they do not come, `ray status` on the head says: no such machines to be had, or too few allowed."
                )
            time.sleep(poll_s)
        return found
