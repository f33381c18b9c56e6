"""The part of a graph that int8 leaves in float: preprocessing before the network, and temperature and softmax after it.

A layer is an operation with trained weights. An operation stays in float if no layer comes before it, or none after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ONNX_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_OPENVINO_LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


@dataclass(frozen=True, slots=True)
class Scope:
    """The names of the operations that stay in float, and whether the network has attention: a product of activations."""

    float_names: tuple[str, ...]
    has_attention: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a graph: its name and kind, and the names of the operations that it reads."""

    name: str
    kind: str
    reads: tuple[str, ...]
    is_constant: bool = False


def scope_of(operations: Iterable[Operation], layers: Collection[str]) -> Scope:
    """Return the scope of a graph, whose operations come in an order in which each reads earlier ones."""
    ordered = list(operations)
    constant: set[str] = set()
    for each in ordered:
        if each.is_constant or (each.reads and all(name in constant for name in each.reads)):
            constant.add(each.name)
    live = [each for each in ordered if each.name not in constant]
    weighted = {each.name for each in live if each.kind in layers and any(name in constant for name in each.reads)}
    after = _linked(((each.name, each.reads) for each in live), weighted)
    before = _linked(_reversed(live), weighted)
    outside = tuple(
        each.name for each in live if each.name not in weighted and (each.name not in after or each.name not in before)
    )
    inner = (each for each in live if each.name not in weighted and each.name not in outside)
    return Scope(outside, any(each.kind == "MatMul" for each in inner))


def onnx_scope(path: Path) -> Scope:
    """Return the scope of an ONNX graph."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    operations = [Operation(entry.name, "Constant", (), is_constant=True) for entry in graph.initializer]
    producer = {entry.name: entry.name for entry in graph.initializer}
    for node in graph.node:
        reads = tuple(producer[name] for name in node.input if name in producer)
        given = sum(name not in producer and name != "" for name in node.input)
        is_constant = node.op_type == "Constant"
        reads += ("input",) * bool(given)
        operations.append(Operation(node.name, node.op_type, reads, is_constant))
        producer |= dict.fromkeys(node.output, node.name)
    return scope_of(operations, _ONNX_LAYERS)


def openvino_scope(model: Any) -> Scope:
    """Return the scope of an OpenVINO model."""
    operations = []
    for node in model.get_ordered_ops():
        reads = tuple(node.input_value(i).get_node().get_friendly_name() for i in range(node.get_input_size()))
        kind = node.get_type_name()
        operations.append(Operation(node.get_friendly_name(), kind, reads, kind == "Constant"))
    return scope_of(operations, _OPENVINO_LAYERS)


def _linked(links: Iterable[tuple[str, tuple[str, ...]]], start: set[str]) -> set[str]:
    """Return the names that read one of `start`, directly or not."""
    seen = set(start)
    for name, reads in links:
        if any(each in seen for each in reads):
            seen.add(name)
    return seen


def _reversed(operations: list[Operation]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the operations from last to first, each with the ones that read it."""
    readers: Mapping[str, list[str]] = {each.name: [] for each in operations}
    for each in operations:
        for name in each.reads:
            if name in readers:
                readers[name].append(each.name)
    return [(each.name, tuple(readers[each.name])) for each in reversed(operations)]
