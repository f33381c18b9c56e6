"""The nodes of a cluster, as their diagnostics see them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from raytl.cluster import on_each_node as module
from raytl.cluster.machines import Machine
from raytl.cluster.on_each_node import on_each_node


def test_a_node_whose_gpus_are_in_use_has_none_to_measure_with(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = "a" * 56, "b" * 56
    infos = [{"NodeID": node, "NodeManagerAddress": f"10.0.0.{node[0]}", "Alive": True} for node in (b, a)]
    actor: Any = SimpleNamespace(remote=lambda: "an actor")
    monkeypatch.setattr(module, "machines", lambda: [Machine(a, (8, 4), (8, 0)), Machine(b, (8, 4), (8, 3))])
    monkeypatch.setattr(ray, "nodes", lambda: infos)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: a))
    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: actor)
    monkeypatch.setattr(ray, "kill", lambda _: None)  # it would start a Ray
    with on_each_node() as nodes:
        assert [(node.name, node.free_gpus) for node in nodes] == [("10.0.0.a, here", 0), ("10.0.0.b", 3)]
