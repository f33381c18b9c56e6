"""Split a network at the freeze boundary into a frozen prefix and a trainable suffix, joined by one flat row per sample.

torch.fx traces the network with every module inside one stage (or the head) as a leaf: blocks run their own forward,
with their own dropout and BatchNorm modes, and only the code between stages is traced. The two halves hold the
network's own modules and parameters under their own names.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from raytl.errors import ModelError
from raytl.models.backbone import Backbone
from raytl.models.groups import excluded_from_decay
from raytl.models.stages import Stage

_FLAT = "flat"


class NotTraceable(ModelError):
    """The network cannot be split; the text gives the reason."""


@dataclass(frozen=True)
class SplitModel:
    """`prefix(images) -> (batch, width)` and `suffix(flat) -> logits`; `tensors` is the number that cross the boundary.

    `trace` identifies the code between the stages, the same at all depths: networks of the same stages differ in it if they
    read other maps, so that other tensors cross.
    """

    prefix: nn.Module
    suffix: fx.GraphModule
    width: int
    tensors: int
    trace: str


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A tensor that crosses the boundary: its shape without the batch dimension, and its memory format."""

    node: fx.Node
    shape: tuple[int, ...]
    channels_last: bool

    @property
    def width(self) -> int:
        return math.prod(self.shape)


def split_model(backbone: Backbone, depth: int) -> SplitModel:
    """Split `backbone` below its top `depth` stages; `suffix(prefix(x))` equals `module(x)` to the last bit.

    Modes are restored. Costs two forward passes of a tiny batch.

    Raises:
        NotTraceable: the code between the stages cannot be traced, or a crossing tensor is not one row per sample.
    """
    mode = backbone.module.training
    graph = _traced(backbone)
    edge = _edge(backbone, graph, depth)
    prefix = _Prefix(fx.GraphModule(backbone.module, _prefix_graph(graph, edge.tensors)))
    suffix = fx.GraphModule(backbone.module, _suffix_graph(graph, edge))
    suffix.train(mode)
    trace = hashlib.sha256(str(graph).encode()).hexdigest()
    return SplitModel(prefix.eval(), suffix, sum(one.width for one in edge.tensors), len(edge.tensors), trace)


def between(backbone: Backbone, deeper: int, depth: int) -> nn.Module:
    """Return a module from the rows of depth `deeper` to those of `depth`, exact to the last bit; `deeper > depth`.

    Raises:
        NotTraceable: as `split_model`.
    """
    graph = _traced(backbone)
    below, above = _edge(backbone, graph, deeper), _edge(backbone, graph, depth)
    return _Prefix(fx.GraphModule(backbone.module, _suffix_graph(graph, below, above.tensors))).eval()


def _traced(backbone: Backbone) -> fx.Graph:
    modes = [(part, part.training) for part in backbone.module.modules()]
    try:
        graph = _Tracer(backbone).trace(backbone.module)
    except Exception as error:  # the traced code may raise anything when it uses the proxies of fx
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise NotTraceable(f"{backbone.name} cannot be traced between its stages: {reason}") from error
    finally:
        for part, mode in modes:  # one by one, because frozen modules stay in evaluation mode
            part.training = mode
    _reject_functional_dropout(backbone, graph)
    return graph


@dataclass(frozen=True, slots=True)
class _Edge:
    """The boundary at one depth: the nodes above it, and the tensors and other values that cross it."""

    learning: set[fx.Node]
    tensors: list[_Crossing]
    plain: dict[fx.Node, tuple[Any, Any]]


def _edge(backbone: Backbone, graph: fx.Graph, depth: int) -> _Edge:
    assert 0 <= depth < len(backbone.stages), "if all stages train, nothing is below the boundary"
    learning = _learning(backbone, graph, depth)
    crossing = [node for node in graph.nodes if node not in learning and any(user in learning for user in node.users)]
    values = _crossing_values(backbone.module, graph, backbone, crossing)
    tensors = [_crossing(backbone, node, values[node]) for node in crossing if isinstance(values[node][0], Tensor)]
    plain = {node: values[node] for node in crossing if not isinstance(values[node][0], Tensor)}
    if not tensors:
        raise NotTraceable(f"{backbone.name}: no tensor crosses the boundary below the top {depth} stages")
    return _Edge(learning, tensors, plain)


def suffix_backbone(backbone: Backbone, split: SplitModel) -> Backbone:
    """Return the top of `backbone` as a backbone that takes flat rows and shares its parameters."""
    parameters = {name for name, _ in split.suffix.named_parameters()}
    buffers = {name for name, _ in split.suffix.named_buffers()}
    modules = {name for name, _ in split.suffix.named_modules()}
    stages = [
        Stage(
            stage.name,
            tuple(name for name in stage.parameters if name in parameters),
            tuple(name for name in stage.buffers if name in buffers),
            tuple(name for name in stage.modules if name in modules),
        )
        for stage in backbone.stages
    ]
    return replace(
        backbone,
        module=split.suffix,
        stages=tuple(stage for stage in stages if stage.parameters),
        undecayed=excluded_from_decay(backbone) & parameters,
    )


class _Prefix(nn.Module):
    """The frozen half: concatenate the rows of all crossing tensors, each in its memory order."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, images: Tensor) -> Tensor:
        """Return `(batch, width)` in the dtype of the network."""
        rows = [_flattened(value) for value in self.graph(images)]
        if len({row.dtype for row in rows}) > 1:
            raise NotTraceable("tensors of several types cross the boundary")
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)


class _Tracer(fx.Tracer):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__(autowrap_functions=_untraced())
        self._owned = frozenset(_owned(backbone))
        self._around = {path.rpartition(".")[0] for path in self._owned}
        self._around |= {outer for path in self._around for outer in _outer(path)}
        # fx looks for these functions beside the root's forward only, and the body of a dense network is not the root
        self._autowrap_search += [
            sys.modules[type(backbone.module.get_submodule(path)).__module__] for path in self._around
        ]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return True for modules inside one stage, and for modules outside all stages."""
        return module_qualified_name in self._owned or module_qualified_name not in self._around


def _outer(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(len(parts))]


def _untraced() -> tuple[Any, ...]:
    """Return the functions that timm excludes from tracing."""
    from timm.models import _features_fx

    return tuple(_features_fx.get_notrace_functions())  # type: ignore[no-untyped-call]


def _owned(backbone: Backbone) -> list[str]:
    return [name for stage in backbone.stages for name in stage.modules if name]


def _reject_functional_dropout(backbone: Backbone, graph: fx.Graph) -> None:
    """Raise NotTraceable for functional dropout outside all blocks: a trace fixes its mode."""
    for node in graph.nodes:
        rate = node.kwargs.get("p", node.args[1] if len(node.args) > 1 else 0.5)
        if node.op == "call_function" and node.target is functional.dropout and rate:
            raise NotTraceable(f"{backbone.name} applies dropout outside its blocks, which a trace cannot turn off")


def _learning(backbone: Backbone, graph: fx.Graph, depth: int) -> set[fx.Node]:
    """Return the nodes that are trainable or depend on the training mode, and all nodes downstream of them."""
    frozen_stages = backbone.stages[: len(backbone.stages) - depth]
    frozen = {name for stage in frozen_stages for name in (*stage.modules, *stage.parameters, *stage.buffers)}
    trainable: set[fx.Node] = set(_extra_inputs(graph))
    modules = dict(backbone.module.named_modules())
    for node in graph.nodes:
        own = node.op in ("call_module", "get_attr") and node.target not in frozen
        if node.op == "call_module" and _is_constant(modules[str(node.target)]):
            own = False
        if own or node.op == "output" or any(given in trainable for given in node.all_input_nodes):
            trainable.add(node)
    return trainable


def _extra_inputs(graph: fx.Graph) -> list[fx.Node]:
    """Return the inputs after the images."""
    return [node for node in graph.nodes if node.op == "placeholder"][1:]


def _is_constant(part: nn.Module) -> bool:
    """Return True for pooling, flattening and the like: no parameters, and equal in training and evaluation."""
    drops = any("drop" in type(inner).__name__.lower() for inner in part.modules())
    return not drops and not any(True for _ in part.state_dict())


def _crossing_values(
    module: nn.Module, graph: fx.Graph, backbone: Backbone, crossing: Sequence[fx.Node]
) -> dict[fx.Node, tuple[Any, Any]]:
    """Return the crossing values for a batch of 2 and a batch of 3."""
    size = (backbone.preprocess.channels, *backbone.preprocess.view_size)
    device = next(module.parameters()).device
    layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
    keep = fx.Graph()
    environment: dict[fx.Node, fx.Node] = {}
    needed = _ancestors(crossing)
    for node in graph.nodes:
        if node in needed or node.op == "placeholder":
            environment[node] = keep.node_copy(node, lambda given: environment[given])
    keep.output(tuple(environment[node] for node in crossing))
    probe = fx.GraphModule(module, keep)
    modes = {name: part.training for name, part in module.named_modules()}
    probe.eval()
    try:
        with torch.no_grad():
            two, three = (probe(torch.zeros(n, *size, device=device).to(memory_format=layout)) for n in (2, 3))
    finally:
        for name, part in module.named_modules():
            part.training = modes[name]
    return {node: (one, other) for node, one, other in zip(crossing, two, three, strict=True)}


def _crossing(backbone: Backbone, node: fx.Node, values: tuple[Any, Any]) -> _Crossing:
    two, three = values
    if two.ndim < 2 or two.shape[0] != 2 or three.shape[0] != 3 or two.shape[1:] != three.shape[1:]:
        raise NotTraceable(f"{backbone.name}: {node.name} crosses the boundary but is not one row per sample")
    return _Crossing(node, tuple(two.shape[1:]), _lies_channels_last(two))


def _prefix_graph(graph: fx.Graph, tensors: Sequence[_Crossing]) -> fx.Graph:
    prefix = fx.Graph()
    environment: dict[fx.Node, fx.Node] = {}
    needed = _ancestors([one.node for one in tensors])
    for node in graph.nodes:
        if node in needed or node.op == "placeholder":
            environment[node] = prefix.node_copy(node, lambda given: environment[given])
    prefix.output(tuple(environment[one.node] for one in tensors))
    return prefix


def _ancestors(nodes: Sequence[fx.Node]) -> set[fx.Node]:
    """Return `nodes` and all nodes they depend on."""
    ancestors: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in ancestors:
            ancestors.add(node)
            waiting += node.all_input_nodes
    return ancestors


def _suffix_graph(graph: fx.Graph, edge: _Edge, wanted: Sequence[_Crossing] = ()) -> fx.Graph:
    """Return the graph above `edge`, from its flat rows to the output of the network, or to the tensors `wanted`.

    The inputs of the network after the images, as the targets of a dense one, are inputs of the graph too.
    """
    suffix = fx.Graph()
    flat = suffix.placeholder(_FLAT)
    environment: dict[fx.Node, Any] = {}
    environment |= {node: suffix.node_copy(node) for node in _extra_inputs(graph)}
    start = 0
    ends = [one.node for one in wanted] or [node for node in graph.nodes if node.op == "output"]
    used = _ancestors(ends)
    for one in edge.tensors:
        environment[one.node] = suffix.call_function(_unpacked, (flat, start, one.shape, one.channels_last))
        start += one.width
    for node, (two, three) in edge.plain.items():
        environment[node] = _recomputed(suffix, flat, node, two, three)
    for node in graph.nodes:
        if node in edge.learning and node in used and node not in environment:
            environment[node] = suffix.node_copy(node, lambda given: environment[given])
    if wanted:
        suffix.output(tuple(environment[node] for node in ends))
    suffix.lint()
    return suffix


def _recomputed(suffix: fx.Graph, flat: fx.Node, node: fx.Node, two: Any, three: Any) -> Any:
    """Return a crossing value that is not a tensor: a constant, the batch size, or a shape that contains it."""
    if two == three:
        return two
    if (two, three) == (2, 3):
        return suffix.call_function(_rows, (flat,))
    if isinstance(two, tuple) and tuple(two[1:]) == tuple(three[1:]) and (two[0], three[0]) == (2, 3):
        return suffix.call_function(_shaped, (flat, tuple(two[1:])))
    raise NotTraceable(f"{node.name} crosses the boundary and changes with the batch")


def _rows(flat: Tensor) -> int:
    return flat.shape[0]


def _shaped(flat: Tensor, rest: tuple[int, ...]) -> tuple[int, ...]:
    return (flat.shape[0], *rest)


def _unpacked(flat: Tensor, start: int, shape: tuple[int, ...], channels_last: bool) -> Tensor:
    """Return the crossing tensor in its original shape and memory format."""
    rows = flat[:, start : start + math.prod(shape)]
    if channels_last:
        depth, height, width = shape
        return rows.reshape(-1, height, width, depth).permute(0, 3, 1, 2)
    return rows.reshape(-1, *shape)


def _flattened(value: Tensor) -> Tensor:
    return value.permute(0, 2, 3, 1).flatten(1) if _lies_channels_last(value) else value.flatten(1)


def _lies_channels_last(value: Tensor) -> bool:
    return value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last) and not value.is_contiguous()
