"""Find the state dicts in a file, and choose the one that a module takes, without the prefix of a wrapper.

Nothing here knows the names of trainers: a state dict is any mapping of tensors, and a prefix is whatever stands before
names that the module knows. The choice is the one under which most tensors of the module are found in their shapes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Size, Tensor

_DEPTH = 4
"""Mappings inside of mappings that are looked into: `state_dict`, `ema.module`, `state.model.module`."""

_PREFIXES = 4
"""Prefixes that are tried for each state dict, those under which most names of the module are found first."""

_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Names under which torch's own wrappers hold the module that they wrap; they also stand inside of names."""

_AVERAGE = re.compile(r"(?i)(^|[^a-z])(ema|swa|average[d]?)([^a-z]|$)")

State = Mapping[str, Tensor]
Shapes = Mapping[str, Size]


@dataclass(frozen=True)
class Candidate:
    """A mapping of tensors in a file: `keys` lead to it (empty: the file is it), `beside` are its keys without tensors."""

    keys: str
    tensors: State
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """The tensors of a candidate, named without `prefix` (and without torch's wrappers where `unwrapped`);
    `left_out` are the names of the candidate that are not among them.
    """

    candidate: Candidate
    prefix: str
    unwrapped: bool
    tensors: State
    left_out: tuple[str, ...]

    @property
    def is_average(self) -> bool:
        """True for the average of weights over steps (EMA, SWA) that training keeps beside them."""
        return bool(_AVERAGE.search(f"{self.candidate.keys}.{self.prefix}"))

    @property
    def text(self) -> str:
        """What was taken, in words; empty where the whole file was taken as it is."""
        if not (self.candidate.keys or self.prefix or self.unwrapped or self.left_out):
            return ""
        without = [f"the prefix {self.prefix!r}"] if self.prefix else []
        without += ["torch's wrappers in its names"] if self.unwrapped else []
        words = [f"took {self.candidate.keys!r}" if self.candidate.keys else "took its tensors"]
        words += [f"without {' and '.join(without)}"] if without else []
        left_out = f"; left out {_listed(self.left_out)}" if self.left_out else ""
        return f"{' '.join(words)} ({len(self.tensors)} tensors){left_out}"


def candidates_in(raw: object) -> tuple[Candidate, ...]:
    """Return every mapping with names and tensors in `raw`, outer ones first."""
    found, level, seen = list[Candidate](), [("", raw)], set[int]()
    for _ in range(_DEPTH):
        inner: list[tuple[str, object]] = []
        for keys, value in level:
            if not isinstance(value, Mapping) or id(value) in seen:
                continue
            seen.add(id(value))
            named = {name: item for name, item in value.items() if isinstance(name, str)}
            tensors = {name: item for name, item in named.items() if isinstance(item, Tensor)}
            if tensors:
                found.append(Candidate(keys, tensors, tuple(str(name) for name in value if name not in tensors)))
            inner += [(f"{keys}.{name}" if keys else name, item) for name, item in named.items()]
        level = inner
    return tuple(found)


def take(candidates: Iterable[Candidate], wanted: Shapes, adapt: Callable[[State], State]) -> Taken:
    """Return the candidate and the prefix with which most of the `wanted` tensors are found in their shapes.

    Where two are alike, an average of weights goes before the weights, and the first of the file before the others. Names
    are first compared as they are; where some are missing, `adapt` renames and resizes them as the architecture's own
    loader does.
    """
    options = [option for candidate in candidates for option in _options(candidate, wanted)]
    best, (shapes, _) = _best(options, wanted, lambda state: state)
    if shapes == len(wanted):
        return best
    best, (_, names) = _best(options, wanted, adapt)
    belongs = 2 * names >= len(wanted)
    return best if belongs else max((o for o in options if not o.prefix), key=lambda option: len(option.tensors))


def _best(options: Iterable[Taken], wanted: Shapes, adapt: Callable[[State], State]) -> tuple[Taken, tuple[int, int]]:
    """Return the best option, and how many wanted tensors it has: in their shapes, and at all."""
    counted = [(_matches(adapt(option.tensors), wanted), option) for option in options]
    counts, best = max(counted, key=lambda pair: (pair[0], pair[1].is_average))
    return best, counts


def _matches(state: State, wanted: Shapes) -> tuple[int, int]:
    shapes = [state[name].shape == shape for name, shape in wanted.items() if name in state]
    return sum(shapes), len(shapes)


def _options(candidate: Candidate, wanted: Shapes) -> Iterator[Taken]:
    """Yield the candidate under each prefix that may be one, without a prefix first."""
    known = {part for name in wanted for part in name.split(".")}
    plain = {name: name for name in candidate.tensors}
    unwrapped = {name: _unwrapped(name, known) for name in plain}
    for names in (plain, unwrapped) if unwrapped != plain else (plain,):
        for prefix in _prefixes(names.values(), wanted):
            yield _taken(candidate, names, prefix, names is unwrapped, wanted)


def _taken(candidate: Candidate, names: Mapping[str, str], prefix: str, unwrapped: bool, wanted: Shapes) -> Taken:
    inside = {name: new.removeprefix(prefix) for name, new in names.items() if new.startswith(prefix)}
    kept = {
        new: candidate.tensors[name]
        for name, new in inside.items()
        if new in wanted or not _is_number(new, candidate, name)
    }
    left_out = [name for name in names if name not in inside or inside[name] not in kept]
    return Taken(candidate, prefix, unwrapped, kept, (*left_out, *candidate.beside))


def _is_number(new: str, candidate: Candidate, name: str) -> bool:
    """True for a number beside the tensors, such as `n_averaged`: a module's own numbers have a path."""
    return "." not in new and candidate.tensors[name].ndim == 0


def _unwrapped(name: str, known: set[str]) -> str:
    return ".".join(part for part in name.split(".") if part in known or part not in _WRAPPERS)


def _prefixes(names: Iterable[str], wanted: Shapes) -> list[str]:
    """Return the prefixes before wanted names, the most frequent first, and those that all names share."""
    listed = list(names)
    ends = [(name, at) for name in listed for at in (m.end() for m in re.finditer(r"\.", name))]
    votes = Counter(name[:at] for name, at in ends if name[at:] in wanted)
    shared = [listed[0][:at] for name, at in ends if name is listed[0]]
    shared = [prefix for prefix in shared if all(name.startswith(prefix) for name in listed)]
    return list(dict.fromkeys(["", *(prefix for prefix, _ in votes.most_common(_PREFIXES)), *shared]))


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"
