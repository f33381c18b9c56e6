"""Request machines from Ray's autoscaler: raytl plans with the machines that exist and starts none itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from raytl.cluster.session import nodes, session
from raytl.errors import Unavailable


def request_gpus(gpus: int, wait_s: float, report: Callable[[str], None], poll_s: float = 2.0) -> int:
    """Request GPUs from the autoscaler of this machine's cluster, wait for them, and return how many there are.

    The request stays in force until the next one; 0 releases idle machines.

    Raises:
        Unavailable: no cluster runs here, or the GPUs did not arrive in time.
    """
    with session("auto"):
        from ray.autoscaler.sdk import request_resources

        logging.getLogger("ray").setLevel(logging.ERROR)
        request_resources(bundles=[{"GPU": 1}] * gpus)
        deadline, reported = time.monotonic() + wait_s, -1
        while (available := int(sum(count for _, count in nodes()))) < gpus:
            if available != reported:
                report(f"{available} of {gpus} GPUs available")
                reported = available
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"{available} of {gpus} GPUs available after {wait_s:g} s. The request stays in force; --gpus 0 cancels "
                    "it.\n  Run `ray status` on the head: the machine type may be unavailable, or max_workers too low."
                )
            time.sleep(poll_s)
        return available
