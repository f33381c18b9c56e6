"""The keys of the experiment file as Markdown, from the schema: meaning, type, unit, default, bounds and an example of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from docs.generate.words import EXAMPLES, UNITS, UNITS_BY_SUFFIX
from raytl.config import shape
from raytl.config.schema import Experiment
from raytl.config.section import Section

_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_BOUNDS = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
_TYPES = {"integer": "integer", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}
_REQUIRED = object()


def markdown() -> str:
    """Return a part for each section, with every key in it."""
    top = [key for key, field in Experiment.model_fields.items() if _section(field) is None]
    parts = ["### Top level\n", *(_key((name,), Experiment.model_fields[name]) for name in top)]
    for name, field in Experiment.model_fields.items():
        if (section := _section(field)) is not None:
            parts += _part((name,), section)
    return "\n".join(parts)


def examples() -> dict[str, Any]:
    """Return an example value of every key."""
    found = [leaf for section in _sections() for leaf in _leaves(*section)]
    return {".".join(path): example(".".join(path), field) for path, field in found}


def example(key: str, field: FieldInfo) -> Any:
    """Return a value that the key may have: a chosen one, or else its default."""
    value = EXAMPLES.get(key, _default(field))
    assert value is not _REQUIRED, f"give {key} an example in docs/generate/words.py"
    return value


def _sections() -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    yield (), Experiment
    waiting: list[tuple[tuple[str, ...], type[Section]]] = [((), Experiment)]
    while waiting:
        path, section = waiting.pop(0)
        inner = [((*path, name), found) for name, field in section.model_fields.items() if (found := _section(field))]
        yield from inner
        waiting += inner


def _leaves(path: tuple[str, ...], section: type[Section]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in section.model_fields.items():
        if _section(field) is None:
            yield (*path, name), field


def _section(field: FieldInfo) -> type[Section] | None:
    """Return the section that the field is; None of a key that holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _alternative(path: tuple[str, ...], field: FieldInfo) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield the keys of a section that may stand where null or another value may stand too."""
    for kind in get_args(field.annotation):
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _leaves(path, kind)


def _part(path: tuple[str, ...], section: type[Section]) -> Iterator[str]:
    yield f"### {'.'.join(path)} {{ #{'.'.join(path)} }}\n\n{_flat(section.__doc__ or '')}\n"
    for leaf, field in _leaves(path, section):
        yield _key(leaf, field)
        yield from (_key(inner, part) for inner, part in _alternative(leaf, field) if shape.description(inner))
    for name, field in section.model_fields.items():
        if (inner := _section(field)) is not None:
            yield from _part((*path, name), inner)


def _key(path: tuple[str, ...], field: FieldInfo) -> str:
    key = ".".join(path)
    default = _default(field)
    facts = {
        "Type": types(path),
        "Unit": unit(key),
        "Default": "required" if default is _REQUIRED else f"`{_plain(default)}`",
        "Bounds": bounds(path, field),
        "Example": f"`{path[-1]}: {_plain(example(key, field))}`",
    }
    lines = " · ".join(f"**{name}** {value}" for name, value in facts.items() if value)
    return f"#### {key} {{ #{key} }}\n\n{_flat(shape.description(path))}\n\n{lines}\n"


def types(path: tuple[str, ...]) -> str:
    """Return the types and words that the key accepts."""
    return _types(shape.node_at(path) or {})


def _types(node: shape.Node) -> str:
    return ", ".join(dict.fromkeys(_type(choice) for choice in shape._choices(node)))


def _type(node: shape.Node) -> str:
    if words := shape._words(node):
        return ", ".join(f"`{word}`" for word in words)
    match node.get("type"):
        case "array" if "prefixItems" in node:
            return f"list of {len(node['prefixItems'])} numbers"
        case "array":
            return f"list of ({_types(node['items'])})"
        case "object" if "properties" in node:
            return f"mapping with {', '.join(f'`{key}`' for key in node['properties'])}"
        case "object":
            return "mapping"
        case kind:
            return _TYPES[str(kind)]


def bounds(path: tuple[str, ...], field: FieldInfo) -> str:
    """Return the bounds of the key's numbers, and what its text has to look like."""
    found: dict[str, float] = {}
    for choice in shape._choices(shape.node_at(path) or {}):
        found |= {_BOUNDS[name]: value for name, value in choice.items() if name in _BOUNDS}
    for limit in field.metadata:  # stricter than the schema of the unit
        found |= {name: value for name in _SIGNS if (value := getattr(limit, name, None)) is not None}
    if "gt" in found and found.get("ge", found["gt"]) <= found["gt"]:
        found.pop("ge", None)
    return " and ".join(f"{_SIGNS[name]} {found[name]:.12g}" for name in _SIGNS if name in found)


def unit(key: str) -> str:
    """Return the unit of the key's numbers; empty for numbers without one, and for text."""
    node = shape.node_at(key.split(".")) or {}
    texts = [text for choice in shape._choices(node) for text in choice.get("examples", ())]
    if "2 epochs" in texts:
        return "epochs"
    if "2 h" in texts:
        return "seconds, or text such as `2 h`"
    if key in UNITS:
        return UNITS[key]
    return next((unit for suffix, unit in UNITS_BY_SUFFIX.items() if key.endswith(suffix)), "")


def _default(field: FieldInfo) -> Any:
    return _REQUIRED if field.is_required() else field.get_default(call_default_factory=True)


def _plain(value: Any) -> str:
    """Return the value as YAML on one line."""
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _flat(text: str) -> str:
    """Return the text on one line; outside of code, an angle bracket opens no tag."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))
