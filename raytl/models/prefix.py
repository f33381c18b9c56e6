"""A network cut at the freeze boundary: what stays frozen, and what learns, joined by one flat tensor a sample.

The network is traced with torch.fx, but every module that lies in one stage (or in the head) is a leaf: blocks run
their own forward, with their own dropout and BatchNorm modes, and only the glue between stages is traced. The two
halves hold the network's own modules and parameters under their own names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from raytl.errors import ModelError
from raytl.models.backbone import Backbone
from raytl.models.stages import Stage

_FLAT = "flat"


class NotTraceable(ModelError):
    """This network cannot be cut; the text says why."""


@dataclass(frozen=True)
class SplitModel:
    """`prefix(images) -> (batch, width)` and `suffix(flat) -> logits`; `tensors` cross from the one to the other."""

    prefix: nn.Module
    suffix: fx.GraphModule
    width: int
    tensors: int


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A tensor that crosses: its shape without the batch, and whether it lies in channels-last memory."""

    node: fx.Node
    shape: tuple[int, ...]
    channels_last: bool

    @property
    def width(self) -> int:
        return math.prod(self.shape)


def cut(backbone: Backbone, depth: int) -> SplitModel:
    """`backbone` cut below its top `depth` stages; `suffix(prefix(x))` is `module(x)` to the last bit.

    The network's modes are as they were. Costs two forward passes of a tiny batch.

    Raises:
        NotTraceable: its code between the stages cannot be traced, or what crosses is not one row a sample.
    """
    mode = backbone.module.training
    graph = _traced(backbone)
    edge = _edge(backbone, graph, depth)
    prefix = _Prefix(fx.GraphModule(backbone.module, _prefix_graph(graph, edge.tensors)))
    suffix = fx.GraphModule(backbone.module, _suffix_graph(graph, edge))
    suffix.train(mode)
    return SplitModel(prefix.eval(), suffix, sum(one.width for one in edge.tensors), len(edge.tensors))


def between(backbone: Backbone, deeper: int, depth: int) -> nn.Module:
    """From the rows of `cut(backbone, deeper)` to those of `cut(backbone, depth)`, to the last bit; `deeper > depth`.

    Raises:
        NotTraceable: as `cut` does.
    """
    graph = _traced(backbone)
    below, above = _edge(backbone, graph, deeper), _edge(backbone, graph, depth)
    return _Prefix(fx.GraphModule(backbone.module, _suffix_graph(graph, below, above.tensors))).eval()


def _traced(backbone: Backbone) -> fx.Graph:
    modes = [(part, part.training) for part in backbone.module.modules()]
    try:
        graph = _Tracer(_owned(backbone)).trace(backbone.module)
    except Exception as error:  # fx raises whatever the traced code does with its proxies
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise NotTraceable(f"{backbone.name} cannot be traced between its stages: {reason}") from error
    finally:
        for part, mode in modes:  # one by one: what is frozen stays in evaluation
            part.training = mode
    _refuse_baked_in(backbone, graph)
    return graph


@dataclass(frozen=True, slots=True)
class _Edge:
    """The boundary at one depth: the nodes above it, the tensors that cross, and the other values that do."""

    learning: set[fx.Node]
    tensors: list[_Crossing]
    plain: dict[fx.Node, tuple[Any, Any]]


def _edge(backbone: Backbone, graph: fx.Graph, depth: int) -> _Edge:
    assert 0 <= depth < len(backbone.stages), "where all stages learn there is nothing below the boundary"
    learning = _learning(backbone, graph, depth)
    crossing = [node for node in graph.nodes if node not in learning and any(user in learning for user in node.users)]
    values = _run(backbone.module, graph, backbone, crossing)
    tensors = [_crossing(backbone, node, values[node]) for node in crossing if isinstance(values[node][0], Tensor)]
    plain = {node: values[node] for node in crossing if not isinstance(values[node][0], Tensor)}
    if not tensors:
        raise NotTraceable(f"{backbone.name}: nothing crosses the boundary below its top {depth} stages")
    return _Edge(learning, tensors, plain)


def suffix_backbone(backbone: Backbone, made: SplitModel) -> Backbone:
    """The top of `backbone` as a backbone of its own, that takes flat rows; its parameters are those of the whole."""
    parameters = {name for name, _ in made.suffix.named_parameters()}
    buffers = {name for name, _ in made.suffix.named_buffers()}
    modules = {name for name, _ in made.suffix.named_modules()}
    kept = [
        Stage(
            stage.name,
            tuple(name for name in stage.parameters if name in parameters),
            tuple(name for name in stage.buffers if name in buffers),
            tuple(name for name in stage.modules if name in modules),
        )
        for stage in backbone.stages
    ]
    return replace(backbone, module=made.suffix, stages=tuple(stage for stage in kept if stage.parameters))


class _Prefix(nn.Module):
    """The frozen half: rows of all that crosses, one after the other, each in the order in which it lies in memory."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, width)` in the type that the network computes in."""
        rows = [_flattened(value) for value in self.graph(images)]
        if len({row.dtype for row in rows}) > 1:
            raise NotTraceable("tensors of several types cross the boundary")
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)


class _Tracer(fx.Tracer):
    def __init__(self, owned: Sequence[str]) -> None:
        super().__init__(autowrap_functions=_untraced())
        self._owned = frozenset(owned)
        self._around = {path.rpartition(".")[0] for path in owned}
        self._around |= {outer for path in self._around for outer in _outer(path)}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Leaves: what one stage owns, and all that holds nothing of any stage."""
        return module_qualified_name in self._owned or module_qualified_name not in self._around


def _outer(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(len(parts))]


def _untraced() -> tuple[Any, ...]:
    """Functions that timm itself keeps out of traces."""
    from timm.models import _features_fx

    return tuple(_features_fx.get_notrace_functions())  # type: ignore[no-untyped-call]


def _owned(backbone: Backbone) -> list[str]:
    return [name for stage in backbone.stages for name in stage.modules if name]


def _refuse_baked_in(backbone: Backbone, graph: fx.Graph) -> None:
    """A functional dropout outside all blocks has its mode written into the trace."""
    for node in graph.nodes:
        rate = node.kwargs.get("p", node.args[1] if len(node.args) > 1 else 0.5)
        if node.op == "call_function" and node.target is functional.dropout and rate:
            raise NotTraceable(f"{backbone.name} drops values outside its blocks, which a trace cannot switch off")


def _learning(backbone: Backbone, graph: fx.Graph, depth: int) -> set[fx.Node]:
    """Nodes that learn, that training switches on, or that depend on such."""
    frozen_stages = backbone.stages[: len(backbone.stages) - depth]
    frozen = {name for stage in frozen_stages for name in (*stage.modules, *stage.parameters, *stage.buffers)}
    found: set[fx.Node] = set()
    modules = dict(backbone.module.named_modules())
    for node in graph.nodes:
        own = node.op in ("call_module", "get_attr") and node.target not in frozen
        if node.op == "call_module" and _is_constant(modules[str(node.target)]):
            own = False
        if own or node.op == "output" or any(given in found for given in node.all_input_nodes):
            found.add(node)
    return found


def _is_constant(part: nn.Module) -> bool:
    """True for pools, flattenings and the like: nothing to learn, and the same in training and in evaluation."""
    drops = any("drop" in type(inner).__name__.lower() for inner in part.modules())
    return not drops and not any(True for _ in part.state_dict())


def _run(
    module: nn.Module, graph: fx.Graph, backbone: Backbone, crossing: Sequence[fx.Node]
) -> dict[fx.Node, tuple[Any, Any]]:
    """What crosses, for a batch of 2 and one of 3."""
    px, device = backbone.preprocess.image_px, next(module.parameters()).device
    layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
    keep = fx.Graph()
    environment: dict[fx.Node, fx.Node] = {}
    needed = _leading_to(crossing)
    for node in graph.nodes:
        if node in needed or node.op == "placeholder":
            environment[node] = keep.node_copy(node, lambda given: environment[given])
    keep.output(tuple(environment[node] for node in crossing))
    probe = fx.GraphModule(module, keep)
    modes = {name: part.training for name, part in module.named_modules()}
    probe.eval()
    try:
        with torch.no_grad():
            two, three = (probe(torch.zeros(n, 3, px, px, device=device).to(memory_format=layout)) for n in (2, 3))
    finally:
        for name, part in module.named_modules():
            part.training = modes[name]
    return {node: (one, other) for node, one, other in zip(crossing, two, three, strict=True)}


def _crossing(backbone: Backbone, node: fx.Node, values: tuple[Any, Any]) -> _Crossing:
    two, three = values
    if two.ndim < 2 or two.shape[0] != 2 or three.shape[0] != 3 or two.shape[1:] != three.shape[1:]:
        raise NotTraceable(f"{backbone.name}: {node.name} crosses the boundary and is not one row a sample")
    return _Crossing(node, tuple(two.shape[1:]), _lies_channels_last(two))


def _prefix_graph(graph: fx.Graph, tensors: Sequence[_Crossing]) -> fx.Graph:
    made = fx.Graph()
    environment: dict[fx.Node, fx.Node] = {}
    needed = _leading_to([one.node for one in tensors])
    for node in graph.nodes:
        if node in needed or node.op == "placeholder":
            environment[node] = made.node_copy(node, lambda given: environment[given])
    made.output(tuple(environment[one.node] for one in tensors))
    return made


def _leading_to(nodes: Sequence[fx.Node]) -> set[fx.Node]:
    """`nodes` and all that they are computed from."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def _suffix_graph(graph: fx.Graph, edge: _Edge, wanted: Sequence[_Crossing] = ()) -> fx.Graph:
    """What lies above `edge`, from its flat rows to the network's output, or to the tensors that are `wanted`."""
    made = fx.Graph()
    flat = made.placeholder(_FLAT)
    environment: dict[fx.Node, Any] = {}
    start = 0
    ends = [one.node for one in wanted] or [node for node in graph.nodes if node.op == "output"]
    used = _leading_to(ends)
    for one in edge.tensors:
        environment[one.node] = made.call_function(_unpacked, (flat, start, one.shape, one.channels_last))
        start += one.width
    for node, (two, three) in edge.plain.items():
        environment[node] = _recomputed(made, flat, node, two, three)
    for node in graph.nodes:
        if node in edge.learning and node in used:
            environment[node] = made.node_copy(node, lambda given: environment[given])
    if wanted:
        made.output(tuple(environment[node] for node in ends))
    made.lint()
    return made


def _recomputed(made: fx.Graph, flat: fx.Node, node: fx.Node, two: Any, three: Any) -> Any:
    """A value that is no tensor: the same for every batch, the batch's size, or a shape that holds it."""
    if two == three:
        return two
    if (two, three) == (2, 3):
        return made.call_function(_rows, (flat,))
    if isinstance(two, tuple) and tuple(two[1:]) == tuple(three[1:]) and (two[0], three[0]) == (2, 3):
        return made.call_function(_shaped, (flat, tuple(two[1:])))
    raise NotTraceable(f"{node.name} crosses the boundary and changes with the batch")


def _rows(flat: Tensor) -> int:
    return flat.shape[0]


def _shaped(flat: Tensor, rest: tuple[int, ...]) -> tuple[int, ...]:
    return (flat.shape[0], *rest)


def _unpacked(flat: Tensor, start: int, shape: tuple[int, ...], channels_last: bool) -> Tensor:
    """The tensor that crossed, in the memory layout that it had."""
    rows = flat[:, start : start + math.prod(shape)]
    if channels_last:
        depth, height, width = shape
        return rows.reshape(-1, height, width, depth).permute(0, 3, 1, 2)
    return rows.reshape(-1, *shape)


def _flattened(value: Tensor) -> Tensor:
    return value.permute(0, 2, 3, 1).flatten(1) if _lies_channels_last(value) else value.flatten(1)


def _lies_channels_last(value: Tensor) -> bool:
    return value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last) and not value.is_contiguous()
