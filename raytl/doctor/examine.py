"""Run the measurements on every node of a cluster, each with a timeout: the machine, the network, the buckets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from raytl.cluster.on_each_node import NoAnswer, Node, on_each_node, run_on_nodes
from raytl.cluster.session import STARTED_HERE, session
from raytl.doctor import bucket, links, machine
from raytl.doctor.bucket import Bucket, BucketProbe
from raytl.doctor.finding import Examination, FailedCheck
from raytl.doctor.links import Link
from raytl.doctor.machine import MachineReport
from raytl.events import Message, OnEvent, ignore

MACHINE_TIMEOUT_S, BUCKET_TIMEOUT_S, LINK_TIMEOUT_S = 60.0, 60.0, 120.0
_CLOCK_ROUNDS = 3


def examine(cluster: str, buckets: Sequence[Bucket] = (), on_event: OnEvent = ignore) -> Examination:
    """Measure the machines of `cluster` (none, local, embedded, auto, host:port), the network between them, and the buckets.

    Raises:
        Unavailable: no cluster answers there.
    """
    if cluster == "none":
        own = machine.inspect("this machine")
        probes = []
        for each in buckets:
            on_event(Message(f"probing {each.uri}"))
            probes.append(bucket.probe(each, own.name))
        return Examination((own,), probes=tuple(probes))
    on_event(Message("starting an embedded Ray" if cluster in STARTED_HERE else f"connecting to {cluster}"))
    with session(cluster):
        return _examined(buckets, on_event)


def _examined(buckets: Sequence[Bucket], on_event: OnEvent) -> Examination:
    failed: list[FailedCheck] = []
    with on_each_node((machine,), each=2) as processes:
        nodes, twins = processes[::2], processes[1::2]
        on_event(Message(f"inspecting {len(nodes)} machine(s)"))
        inspected = run_on_nodes(nodes, machine.inspect, [(node.name,) for node in nodes], MACHINE_TIMEOUT_S)
        failed += _failed("machine", nodes, inspected)
        up = [node for node, result in zip(nodes, inspected, strict=True) if isinstance(result, MachineReport)]
        machines = [
            _with_clock_skew(node, result)
            for node, result in zip(nodes, inspected, strict=True)
            if isinstance(result, MachineReport)
        ]
        probes: list[BucketProbe] = []
        for each in buckets:
            on_event(Message(f"probing {each.uri} from {len(up)} machine(s)"))
            results = run_on_nodes(up, bucket.probe, [(each, node.name) for node in up], BUCKET_TIMEOUT_S)
            failed += _failed(each.uri, up, results)
            probes += [result for result in results if isinstance(result, BucketProbe)]
        pairs = [(node, twin) for node, twin in zip(nodes, twins, strict=True) if node in up]
        on_event(Message(f"measuring the network within {len(pairs)} machine(s)"))
        within = _links(pairs, "gloo")
        between = None
        if len(up) > 1 and not (nccl := all(node.free_gpus >= 1 for node in up)):  # one in use would be waited for
            on_event(Message(f"measuring the network between {len(up)} machines"))
            between = _links([up], "gloo")[0]
    if len(up) > 1 and nccl:
        on_event(Message(f"measuring the network between {len(up)} machines' GPUs"))
        with on_each_node(gpus=1.0) as others:
            names = {node.name for node in up}
            between = _links([[node for node in others if node.name in names]], "nccl")[0]
    return Examination(tuple(machines), tuple(within), between, tuple(probes), tuple(failed))


def _failed(check: str, nodes: Sequence[Node], answers: Sequence[Any]) -> list[FailedCheck]:
    pairs = zip(nodes, answers, strict=True)
    return [FailedCheck(check, node.name, answer.reason) for node, answer in pairs if isinstance(answer, NoAnswer)]


def _with_clock_skew(node: Node, inspected: MachineReport) -> MachineReport:
    """Return the machine with its clock skew against this one, from the fastest of some round trips."""
    best = (0.0, float("inf"))
    for _ in range(_CLOCK_ROUNDS):
        before = time.time()
        (remote_s,) = run_on_nodes([node], machine.clock, [()], MACHINE_TIMEOUT_S)
        after = time.time()
        if not isinstance(remote_s, NoAnswer):
            best = min(best, (remote_s - (before + after) / 2, (after - before) / 2), key=lambda pair: pair[1])
    return replace(inspected, skew_s=best[0], skew_error_s=best[1])


def _links(groups: Sequence[Sequence[Node]], backend: str) -> list[Link]:
    """Measure the network over the processes of each group, all groups at once."""
    addresses = [group[0].address(MACHINE_TIMEOUT_S) for group in groups]
    calls = [
        (node, (rank, len(group), address, backend))
        for group, address in zip(groups, addresses, strict=True)
        for rank, node in enumerate(group)
        if not isinstance(address, NoAnswer)
    ]
    answers = iter(
        run_on_nodes(
            [node for node, _ in calls], links.time_all_reduce, [arguments for _, arguments in calls], LINK_TIMEOUT_S
        )
    )
    return [_link(group, backend, address, answers) for group, address in zip(groups, addresses, strict=True)]


def _link(group: Sequence[Node], backend: str, address: str | NoAnswer, answers: Iterator[Any]) -> Link:
    """Return the link of one group; its answers come next in `answers` unless it has no rendezvous address."""
    names = tuple(node.name for node in group)
    results: list[Any] = [address] if isinstance(address, NoAnswer) else [next(answers) for _ in group]
    failed = [
        f"{name}: {each.reason}" for name, each in zip(names, results, strict=False) if isinstance(each, NoAnswer)
    ]
    return Link(names, backend, error=failed[0]) if failed else links.link(names, backend, results)
