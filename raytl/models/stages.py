"""Divide a network into stages from the stem up and a head: each tensor and module is in exactly one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: the names of its parameters, buffers and modules (including those without tensors)."""

    name: str
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The stages bottom to top (stem first), and the names of the head's tensors."""

    stages: tuple[Stage, ...]
    head: tuple[str, ...]


def divide(module: nn.Module, stage_of: Mapping[str, int]) -> Layout:
    """Return the layout with the parameters and buffers in `stage_of` in their stages, and all others in the head.

    Stages are renumbered without gaps; a stage without parameters joins the one below.
    """
    parameters = [name for name, _ in module.named_parameters()]
    buffers = [name for name, _ in module.named_buffers()]
    numbers = _without_gaps({name: stage_of[name] for name in [*parameters, *buffers] if name in stage_of}, parameters)
    count = max(numbers.values()) + 1
    modules = _modules(module, numbers, head=count)
    names = _names(numbers, count)
    stages = tuple(
        Stage(
            names[i],
            tuple(n for n in parameters if numbers.get(n) == i),
            tuple(n for n in buffers if numbers.get(n) == i),
            tuple(n for n, owner in modules.items() if owner == i),
        )
        for i in range(count)
    )
    return Layout(stages, tuple(name for name in [*parameters, *buffers] if name not in numbers))


def is_under(name: str, prefixes: Sequence[str]) -> bool:
    """Return True if the tensor or module `name` is one of `prefixes` or inside one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _without_gaps(stage_of: Mapping[str, int], parameters: Sequence[str]) -> dict[str, int]:
    holding = sorted({stage_of[name] for name in parameters if name in stage_of})
    below = {i: max((k for k, held in enumerate(holding) if held <= i), default=0) for i in set(stage_of.values())}
    return {name: below[i] for name, i in stage_of.items()}


def _modules(module: nn.Module, numbers: Mapping[str, int], head: int) -> dict[str, int]:
    """Return the stage of each module, or `head`; omit modules with tensors of several stages.

    A module without tensors is in the stage of its parent, or else of the tensors before it. A sibling of the head after
    the parent's last tensor of a stage belongs to the head, so that dropout before the head is active with it.
    """
    owners = {name: _owners(child, name, numbers, head) for name, child in module.named_modules()}
    order = {name: i for i, name in enumerate(owners)}
    trunk = [name for name, owner in owners.items() if len(owner) == 1 and owner != {head}]
    stages: dict[str, int] = {}
    current = 0
    for name, owner in owners.items():
        parent = name.rpartition(".")[0]
        if len(owner) == 1:
            current = stages[name] = next(iter(owner))
        elif not owner and parent in stages:
            stages[name] = stages[parent]
        elif not owner and name:
            over = not any(order[name] < order[n] and (not parent or is_under(n, [parent])) for n in trunk)
            stages[name] = head if over and head in owners[parent] else min(current, head - 1)
    return stages


def _owners(child: nn.Module, name: str, numbers: Mapping[str, int], head: int) -> set[int]:
    prefix = f"{name}." if name else ""
    tensors = [n for n, _ in child.named_parameters()] + [n for n, _ in child.named_buffers()]
    return {numbers.get(prefix + n, head) for n in tensors}


def _names(numbers: Mapping[str, int], count: int) -> list[str]:
    """Return `stem`, then for each stage the shortest path that contains no tensors of other stages."""
    return ["stem", *(_name([n for n in numbers if numbers[n] == i], i, numbers) for i in range(1, count))]


def _name(tensors: Sequence[str], stage: int, numbers: Mapping[str, int]) -> str:
    parts = tensors[0].split(".")
    for length in range(1, len(parts) + 1):
        path = ".".join(parts[:length])
        if all(numbers[n] == stage for n in numbers if is_under(n, [path])):
            return path
    return tensors[0]
