"""The machines of the current session's cluster, as Ray knows them now."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

from raytl.cluster.placement import Size

_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Machine:
    """One that Ray holds for alive: all that it has, and what of it is free; `leaves` says that Ray was told to drain it."""

    id: str
    size: Size
    free: Size
    leaves: bool = False
    address: tuple[str, int] = ("", 0)

    def answers(self) -> bool:
        """True when its raylet does; Ray itself takes some seconds to notice that it does not."""
        with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=_PATIENCE_S):
            return True
        return False


def machines() -> list[Machine]:
    """Every machine that is alive."""
    import ray
    from ray._private.state import available_resources_per_node, state

    draining, free = state.get_draining_nodes(), available_resources_per_node()
    return [
        Machine(
            id=node["NodeID"],
            size=_size(node["Resources"]),
            free=_size(free.get(node["NodeID"], {})),
            leaves=node["NodeID"] in draining,
            address=(node["NodeManagerAddress"], node["NodeManagerPort"]),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _size(resources: dict[str, float]) -> Size:
    return float(resources.get("CPU", 0)), float(resources.get("GPU", 0))
