"""`examine`: asks every node of a cluster about itself, about the others and about buckets, each within its time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from raytl.cluster.on_each_node import NoAnswer, Node, on_each_node, run_on_nodes
from raytl.cluster.session import session
from raytl.doctor import bucket, links, machine
from raytl.doctor.bucket import Bucket, Reached
from raytl.doctor.finding import Examination, Silent
from raytl.doctor.links import Link
from raytl.doctor.machine import Machine
from raytl.events import Message, OnEvent, ignore

LOOK_S, BUCKET_S, LINK_S = 60.0, 60.0, 120.0
_CLOCK_ROUNDS = 3


def examine(cluster: str, buckets: Sequence[Bucket] = (), on_event: OnEvent = ignore) -> Examination:
    """What the machines of `cluster` (none, local, auto, host:port) say of themselves, each other and the buckets.

    Raises:
        Unavailable: no cluster answers there.
    """
    if cluster == "none":
        own = machine.look("this machine")
        reached = [_said(on_event, f"reaching {each.uri}", bucket.probe, each, own.name) for each in buckets]
        return Examination((own,), reached=tuple(reached))
    on_event(Message("starting an embedded Ray" if cluster == "local" else f"connecting to {cluster}"))
    with session(cluster):
        return _examined(buckets, on_event)


def _said(on_event: OnEvent, text: str, action: Any, *args: Any) -> Any:
    on_event(Message(text))
    return action(*args)


def _examined(buckets: Sequence[Bucket], on_event: OnEvent) -> Examination:
    silent: list[Silent] = []
    with on_each_node((machine,), each=2) as processes:
        nodes, twins = processes[::2], processes[1::2]
        on_event(Message(f"looking at {len(nodes)} machine(s)"))
        looks = run_on_nodes(nodes, machine.look, [(node.name,) for node in nodes], LOOK_S)
        silent += _silences("machine", nodes, looks)
        up = [node for node, look in zip(nodes, looks, strict=True) if isinstance(look, Machine)]
        machines = [_timed(node, look) for node, look in zip(nodes, looks, strict=True) if isinstance(look, Machine)]
        reached: list[Reached] = []
        for each in buckets:
            on_event(Message(f"reaching {each.uri} from {len(up)} machine(s)"))
            found = run_on_nodes(up, bucket.probe, [(each, node.name) for node in up], BUCKET_S)
            silent += _silences(each.uri, up, found)
            reached += [one for one in found if isinstance(one, Reached)]
        pairs = [(node, twin) for node, twin in zip(nodes, twins, strict=True) if node in up]
        on_event(Message(f"measuring the network within {len(pairs)} machine(s)"))
        within = _links(pairs, "gloo")
        between = None
        if len(up) > 1 and not (nccl := all(node.gpus >= 1 for node in up)):
            on_event(Message(f"measuring the network between {len(up)} machines"))
            between = _links([up], "gloo")[0]
    if len(up) > 1 and nccl:
        on_event(Message(f"measuring the network between {len(up)} machines' GPUs"))
        with on_each_node(gpus=1.0) as others:
            names = {node.name for node in up}
            between = _links([[node for node in others if node.name in names]], "nccl")[0]
    return Examination(tuple(machines), tuple(within), between, tuple(reached), tuple(silent))


def _silences(what: str, nodes: Sequence[Node], answers: Sequence[Any]) -> list[Silent]:
    pairs = zip(nodes, answers, strict=True)
    return [Silent(what, node.name, answer.reason) for node, answer in pairs if isinstance(answer, NoAnswer)]


def _timed(node: Node, found: Machine) -> Machine:
    """With its clock against this machine's, by the question that was answered fastest."""
    best = (0.0, float("inf"))
    for _ in range(_CLOCK_ROUNDS):
        before = time.time()
        (there,) = run_on_nodes([node], machine.clock, [()], LOOK_S)
        after = time.time()
        if not isinstance(there, NoAnswer):
            best = min(best, (there - (before + after) / 2, (after - before) / 2), key=lambda pair: pair[1])
    return replace(found, skew_s=best[0], skew_error_s=best[1])


def _links(groups: Sequence[Sequence[Node]], backend: str) -> list[Link]:
    """The network over the processes of each group, all groups at once."""
    addresses = [group[0].address(LOOK_S) for group in groups]
    asking = [
        (node, (rank, len(group), address, backend))
        for group, address in zip(groups, addresses, strict=True)
        for rank, node in enumerate(group)
        if not isinstance(address, NoAnswer)
    ]
    answers = iter(run_on_nodes([node for node, _ in asking], links.take_part, [call for _, call in asking], LINK_S))
    return [_link(group, backend, address, answers) for group, address in zip(groups, addresses, strict=True)]


def _link(group: Sequence[Node], backend: str, address: str | NoAnswer, answers: Iterator[Any]) -> Link:
    """The network of one group, whose answers come next where it had an address to meet at."""
    names = tuple(node.name for node in group)
    found: list[Any] = [address] if isinstance(address, NoAnswer) else [next(answers) for _ in group]
    failed = [f"{name}: {one.reason}" for name, one in zip(names, found, strict=False) if isinstance(one, NoAnswer)]
    return Link(names, backend, error=failed[0]) if failed else links.measured(names, backend, found)
