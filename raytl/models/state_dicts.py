"""Find the state dicts in a file, and select the one that matches a module, without a wrapper's prefix.

No trainer's format is hard-coded: a state dict is any mapping of tensors, and a prefix is anything in front of the
module's own names. The selection maximizes the number of the module's tensors with matching shapes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Size, Tensor

_DEPTH = 4
"""Depth of nested mappings to search: `state_dict`, `ema.module`, `state.model.module`."""

_PREFIXES = 4
"""Number of prefixes to try for each state dict, the most frequent first."""

_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Attribute names of the wrapped module in torch's own wrappers; they may occur anywhere in a name."""

_AVERAGE = re.compile(r"(?i)(^|[^a-z])(ema|swa|average[d]?)([^a-z]|$)")

State = Mapping[str, Tensor]
Shapes = Mapping[str, Size]


@dataclass(frozen=True)
class Candidate:
    """A mapping of tensors in a file at the path `keys` (empty: the file itself); `beside` are its keys without tensors."""

    keys: str
    tensors: State
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """The tensors of a candidate, named without `prefix` (and without torch's wrappers if `unwrapped`);
    `left_out` are the names of the candidate that are not among them.
    """

    candidate: Candidate
    prefix: str
    unwrapped: bool
    tensors: State
    left_out: tuple[str, ...]

    @property
    def is_average(self) -> bool:
        """Return True for averaged weights (EMA, SWA)."""
        return bool(_AVERAGE.search(f"{self.candidate.keys}.{self.prefix}"))

    @property
    def text(self) -> str:
        """Return a description of the selection; empty if it is the whole file."""
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
    candidates, level, seen = list[Candidate](), [("", raw)], set[int]()
    for _ in range(_DEPTH):
        inner: list[tuple[str, object]] = []
        for keys, value in level:
            if not isinstance(value, Mapping) or id(value) in seen:
                continue
            seen.add(id(value))
            named = {name: item for name, item in value.items() if isinstance(name, str)}
            tensors = {name: item for name, item in named.items() if isinstance(item, Tensor)}
            if tensors:
                candidates.append(Candidate(keys, tensors, tuple(str(name) for name in value if name not in tensors)))
            inner += [(f"{keys}.{name}" if keys else name, item) for name, item in named.items()]
        level = inner
    return tuple(candidates)


def take(candidates: Iterable[Candidate], wanted: Shapes, adapt: Callable[[State], State]) -> Taken:
    """Return the candidate and prefix with the most `wanted` tensors of matching shapes.

    On a tie, averaged weights win, then the first in the file. Names are first compared unchanged; if some are missing,
    `adapt` renames and resizes them as the architecture's own loader does.
    """
    options = [option for candidate in candidates for option in _options(candidate, wanted)]
    best, (shapes, _) = _best(options, wanted, lambda state: state)
    if shapes == len(wanted):
        return best
    best, (_, names) = _best(options, wanted, adapt)
    belongs = 2 * names >= len(wanted)
    return best if belongs else max((o for o in options if not o.prefix), key=lambda option: len(option.tensors))


def _best(options: Iterable[Taken], wanted: Shapes, adapt: Callable[[State], State]) -> tuple[Taken, tuple[int, int]]:
    """Return the best option and its numbers of wanted tensors: with matching shapes, and in all."""
    counted = [(_matches(adapt(option.tensors), wanted), option) for option in options]
    counts, best = max(counted, key=lambda pair: (pair[0], pair[1].is_average))
    return best, counts


def _matches(state: State, wanted: Shapes) -> tuple[int, int]:
    shapes = [state[name].shape == shape for name, shape in wanted.items() if name in state]
    return sum(shapes), len(shapes)


def _options(candidate: Candidate, wanted: Shapes) -> Iterator[Taken]:
    """Yield the candidate under each possible prefix, without a prefix first."""
    parts = {part for name in wanted for part in name.split(".")}
    plain = {name: name for name in candidate.tensors}
    unwrapped = {name: _unwrapped(name, parts) for name in plain}
    for names in (plain, unwrapped) if unwrapped != plain else (plain,):
        for prefix in _prefixes(names.values(), wanted):
            yield _taken(candidate, names, prefix, names is unwrapped, wanted)


def _taken(candidate: Candidate, names: Mapping[str, str], prefix: str, unwrapped: bool, wanted: Shapes) -> Taken:
    inside = {name: new.removeprefix(prefix) for name, new in names.items() if new.startswith(prefix)}
    tensors = {
        new: candidate.tensors[name]
        for name, new in inside.items()
        if new in wanted or not _is_number(new, candidate, name)
    }
    left_out = [name for name in names if name not in inside or inside[name] not in tensors]
    return Taken(candidate, prefix, unwrapped, tensors, (*left_out, *candidate.beside))


def _is_number(new: str, candidate: Candidate, name: str) -> bool:
    """Return True for a scalar beside the tensors, such as `n_averaged`: a module's own scalars have a dotted path."""
    return "." not in new and candidate.tensors[name].ndim == 0


def _unwrapped(name: str, parts: set[str]) -> str:
    return ".".join(part for part in name.split(".") if part in parts or part not in _WRAPPERS)


def _prefixes(names: Iterable[str], wanted: Shapes) -> list[str]:
    """Return the prefixes before wanted names, the most frequent first, then the prefixes common to all names."""
    listed = list(names)
    ends = [(name, at) for name in listed for at in (m.end() for m in re.finditer(r"\.", name))]
    votes = Counter(name[:at] for name, at in ends if name[at:] in wanted)
    shared = [listed[0][:at] for name, at in ends if name is listed[0]]
    shared = [prefix for prefix in shared if all(name.startswith(prefix) for name in listed)]
    return list(dict.fromkeys(["", *(prefix for prefix, _ in votes.most_common(_PREFIXES)), *shared]))


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"
