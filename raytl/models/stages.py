"""A network as stages from the stem up, and a head: every tensor and every module lies in exactly one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage by the names inside the module: its parameters, buffers, and modules (also those without tensors)."""

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
    """The layout in which each parameter and buffer of `stage_of` lies in its stage, and all others in the head.

    Stages are renumbered without gaps; those without parameters join the one below.
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
    """True when the tensor or module `name` is one of `prefixes` or lies inside one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _without_gaps(stage_of: Mapping[str, int], parameters: Sequence[str]) -> dict[str, int]:
    holding = sorted({stage_of[name] for name in parameters if name in stage_of})
    below = {i: max((k for k, held in enumerate(holding) if held <= i), default=0) for i in set(stage_of.values())}
    return {name: below[i] for name, i in stage_of.items()}


def _modules(module: nn.Module, numbers: Mapping[str, int], head: int) -> dict[str, int]:
    """Each module's stage, or `head`; modules that hold tensors of several stages are left out.

    A module without tensors lies in the stage of its parent, or else of the tensors before it. Beside the head and
    after its parent's last tensor of a stage it belongs to the head, so that dropout before the head learns with it.
    """
    owners = {name: _owners(child, name, numbers, head) for name, child in module.named_modules()}
    order = {name: i for i, name in enumerate(owners)}
    trunk = [name for name, owner in owners.items() if len(owner) == 1 and owner != {head}]
    found: dict[str, int] = {}
    current = 0
    for name, owner in owners.items():
        parent = name.rpartition(".")[0]
        if len(owner) == 1:
            current = found[name] = next(iter(owner))
        elif not owner and parent in found:
            found[name] = found[parent]
        elif not owner and name:
            over = not any(order[name] < order[n] and (not parent or is_under(n, [parent])) for n in trunk)
            found[name] = head if over and head in owners[parent] else min(current, head - 1)
    return found


def _owners(child: nn.Module, name: str, numbers: Mapping[str, int], head: int) -> set[int]:
    prefix = f"{name}." if name else ""
    tensors = [n for n, _ in child.named_parameters()] + [n for n, _ in child.named_buffers()]
    return {numbers.get(prefix + n, head) for n in tensors}


def _names(numbers: Mapping[str, int], count: int) -> list[str]:
    """`stem`, then for each stage the shortest path that no other stage's tensors lie under."""
    return ["stem", *(_name([n for n in numbers if numbers[n] == i], i, numbers) for i in range(1, count))]


def _name(tensors: Sequence[str], stage: int, numbers: Mapping[str, int]) -> str:
    parts = tensors[0].split(".")
    for length in range(1, len(parts) + 1):
        path = ".".join(parts[:length])
        if all(numbers[n] == stage for n in numbers if is_under(n, [path])):
            return path
    return tensors[0]
