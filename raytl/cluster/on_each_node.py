"""Run functions on each node of the cluster, in actors that reserve no CPU, so they start beside running work."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from raytl.cluster.machines import machines
from raytl.errors import first_line


@dataclass(frozen=True)
class NoAnswer:
    """The reason why a node returned no result."""

    reason: str


class _NodeActor:
    """Runs functions on one node; pickled by value, so that the node needs no raytl."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def address(self) -> str:
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


@dataclass(frozen=True)
class Node:
    """A node of the cluster: its display name, its GPUs that no work has reserved, and the actor that runs functions on it."""

    name: str
    free_gpus: float
    actor: Any

    def address(self, timeout_s: float) -> str | NoAnswer:
        """Return the node's host and a currently free port."""
        address: str | NoAnswer = results_within([self.actor.address.remote()], timeout_s)[0]
        return address


@contextlib.contextmanager
def on_each_node(by_value: Sequence[ModuleType] = (), each: int = 1, gpus: float = 0.0) -> Iterator[list[Node]]:
    """Start `each` actors on every live node, the driver's node first, and stop them at the end of the block.

    Each actor reserves `gpus`. Functions of the modules `by_value` are pickled by value; others must be installed there.
    """
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    import raytl.cluster.on_each_node as this

    for module in (this, *by_value):
        cloudpickle.register_pickle_by_value(module)
    nodes: list[Node] = []
    remote: Any = ray.remote
    try:
        own = ray.get_runtime_context().get_node_id()
        free_gpus = {each.id: each.free[1] for each in machines()}
        alive = sorted((info for info in ray.nodes() if info["Alive"]), key=lambda info: info["NodeID"] != own)
        for number, info in enumerate(alive):
            pinned = NodeAffinitySchedulingStrategy(info["NodeID"], soft=False)
            actor_class = remote(num_cpus=0, num_gpus=gpus, scheduling_strategy=pinned)(_NodeActor)
            name = f"{_name(info, alive)}{'' if number else ', here'}"
            nodes += [Node(name, free_gpus.get(info["NodeID"], 0.0), actor_class.remote()) for _ in range(each)]
        yield nodes
    finally:
        for node in nodes:
            with contextlib.suppress(Exception):
                ray.kill(node.actor)
        for module in (this, *by_value):
            cloudpickle.unregister_pickle_by_value(module)


def _name(info: dict[str, Any], among: Sequence[dict[str, Any]]) -> str:
    """Return its address, with a prefix of its id if several nodes share the address."""
    address: str = info["NodeManagerAddress"]
    shared = [other["NodeManagerAddress"] for other in among].count(address) > 1
    return f"{address} ({info['NodeID'][:6]})" if shared else address


def run_on_nodes(
    nodes: Sequence[Node], function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], timeout_s: float
) -> list[Any]:
    """Run `function` on all nodes at once, each with its own arguments; a node that fails or times out gives `NoAnswer`."""
    calls = [node.actor.run.remote(function, *each) for node, each in zip(nodes, arguments, strict=True)]
    return results_within(calls, timeout_s)


def results_within(calls: Sequence[Any], timeout_s: float) -> list[Any]:
    """Return the results of the calls, with `NoAnswer` for each one that failed or timed out."""
    import ray

    if calls:
        ray.wait(list(calls), num_returns=len(calls), timeout=timeout_s)
    return [_result(call, timeout_s) for call in calls]


def _result(call: Any, timeout_s: float) -> Any:
    import ray

    try:
        return ray.get(call, timeout=0.01)
    except ray.exceptions.GetTimeoutError:
        return NoAnswer(f"no answer within {timeout_s:g} s")
    except ray.exceptions.RayTaskError as exc:
        inner = exc.cause if isinstance(exc.cause, BaseException) else exc
        return NoAnswer(f"{type(inner).__name__}: {first_line(inner)}")
    except ray.exceptions.RayError as exc:
        return NoAnswer(f"{type(exc).__name__}: {first_line(exc)}")
