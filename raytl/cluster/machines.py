"""The live machines of the current session's cluster, as Ray reports them."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

from raytl.cluster.placement import Size

_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that Ray considers alive: its total and its free resources, and whether Ray is draining it."""

    id: str
    size: Size
    free: Size
    draining: bool = False
    address: tuple[str, int] = ("", 0)

    def answers(self) -> bool:
        """True if its raylet accepts a connection; Ray takes some seconds to notice a dead one."""
        with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=_TIMEOUT_S):
            return True
        return False


def machines() -> list[Machine]:
    """Return every live machine."""
    import ray
    from ray._private.state import available_resources_per_node, state

    draining_ids, free = state.get_draining_nodes(), available_resources_per_node()
    return [
        Machine(
            id=node["NodeID"],
            size=_size(node["Resources"]),
            free=_size(free.get(node["NodeID"], {})),
            draining=node["NodeID"] in draining_ids,
            address=(node["NodeManagerAddress"], node["NodeManagerPort"]),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _size(resources: dict[str, float]) -> Size:
    return float(resources.get("CPU", 0)), float(resources.get("GPU", 0))
