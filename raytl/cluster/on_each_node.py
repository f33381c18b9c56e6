"""A process on each node of the cluster, to ask it things: beside whatever runs there, as it reserves nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from raytl.errors import first_line


@dataclass(frozen=True)
class Silence:
    """A node that gave no answer, and why."""

    reason: str


class _Process:
    """Lives on one node and does what it is asked; by value, so that it needs no raytl there."""

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def address(self) -> str:
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


@dataclass(frozen=True)
class Node:
    """A node of the cluster, by the name that people know it by, with a process of ours on it."""

    name: str
    gpus: float
    process: Any

    def address(self, timeout_s: float) -> str | Silence:
        """Where the node can be reached, with a port that was free just now."""
        found: str | Silence = gathered([self.process.address.remote()], timeout_s)[0]
        return found


@contextlib.contextmanager
def on_each_node(by_value: Sequence[ModuleType] = (), each: int = 1, gpus: float = 0.0) -> Iterator[list[Node]]:
    """Processes on every node that is alive, `each` one after the other, the driver's node first; they end with the block.
    Functions of the modules `by_value` travel with what is asked, the others have to be there. Each takes so many `gpus`."""
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    import raytl.cluster.on_each_node as this

    for module in (this, *by_value):
        cloudpickle.register_pickle_by_value(module)
    made: list[Node] = []
    remote: Any = ray.remote
    try:
        own = ray.get_runtime_context().get_node_id()
        alive = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"] != own)
        for number, node in enumerate(alive):
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            kind = remote(num_cpus=0, num_gpus=gpus, scheduling_strategy=pinned)(_Process)
            name = f"{_name(node, alive)}{'' if number else ', here'}"
            has = float(node["Resources"].get("GPU", 0))
            made += [Node(name, has, kind.remote()) for _ in range(each)]
        yield made
    finally:
        for one in made:
            with contextlib.suppress(Exception):
                ray.kill(one.process)
        for module in (this, *by_value):
            cloudpickle.unregister_pickle_by_value(module)


def _name(node: dict[str, Any], among: Sequence[dict[str, Any]]) -> str:
    """Its address; with the beginning of its id where several nodes have one address."""
    address: str = node["NodeManagerAddress"]
    shared = [other["NodeManagerAddress"] for other in among].count(address) > 1
    return f"{address} ({node['NodeID'][:6]})" if shared else address


def asked(
    nodes: Sequence[Node], function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], timeout_s: float
) -> list[Any]:
    """What `function` returns on each node, for its own arguments, all at once; a `Silence` where it failed or took longer."""
    calls = [node.process.do.remote(function, *each) for node, each in zip(nodes, arguments, strict=True)]
    return gathered(calls, timeout_s)


def gathered(calls: Sequence[Any], timeout_s: float) -> list[Any]:
    """The results of the calls, with a `Silence` in the place of those that there is none of."""
    import ray

    ray.wait(list(calls), num_returns=len(calls), timeout=timeout_s)
    return [_result(call, timeout_s) for call in calls]


def _result(call: Any, timeout_s: float) -> Any:
    import ray

    try:
        return ray.get(call, timeout=0.01)
    except ray.exceptions.GetTimeoutError:
        return Silence(f"no answer within {timeout_s:g} s")
    except ray.exceptions.RayTaskError as exc:
        inner = exc.cause if isinstance(exc.cause, BaseException) else exc
        return Silence(f"{type(inner).__name__}: {first_line(inner)}")
    except ray.exceptions.RayError as exc:
        return Silence(f"{type(exc).__name__}: {first_line(exc)}")
