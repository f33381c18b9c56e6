"""The JSON Schema of the experiment, and descriptions of its keys in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from raytl.config.problems import near_miss
from raytl.config.schema import SHORTHANDS, Experiment

Node = dict[str, Any]

# Names of raytl's keys in other tools, which a near miss by letters would not find.
_ELSEWHERE = {
    "architecture": "model.name",
    "arch": "model.name",
    "backbone": "model.name",
    "pretrained": "model.weights",
    "checkpoint": "model.weights",
    "image_size": "model.preprocess.image_px",
    "img_size": "model.preprocess.image_px",
    "input_size": "model.preprocess.image_px",
    "size": "model.preprocess.image_px",
    "freeze": "transfer.unfreeze",
    "layer_decay": "transfer.lr_decay",
    "learning_rate": "optim.lr",
    "optimizer": "optim.name",
    "scheduler": "optim.schedule",
    "patience": "train.early_stop",
    "num_workers": "data.loader_workers",
    "gpus": "compute.workers",
    "num_gpus": "compute.workers",
    "path": "data.uri",
    "root": "data.uri",
    "dataset": "data.uri",
    "output": "storage.uri",
    "output_dir": "storage.uri",
}


@cache
def json_schema() -> Node:
    """Return the JSON Schema (draft 2020-12) of the experiment file; do not modify it in place."""
    schema = Experiment.model_json_schema()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "raytl experiment"}
    return head | {key: value for key, value in schema.items() if key != "title"}


def editor_schema() -> Node:
    """Return the schema for editors: that of the file, in which `data` and `model` may also be text."""
    schema = json_schema()
    shorthands = {
        section: {
            "anyOf": [schema["properties"][section], {"type": "string", "description": description((section, key))}]
        }
        for section, key in SHORTHANDS.items()
    }
    return schema | {"properties": schema["properties"] | shorthands}


def node_at(path: Sequence[str | int]) -> Node | None:
    """Return the schema of the value at `path`; None if the key is unknown."""
    nodes = [json_schema()]
    for part in path:
        nodes = [inner for node in nodes for inner in _inner(node, part)]
    return nodes[0] if nodes else None


def keys_of(path: Sequence[str | int]) -> list[str]:
    """Return the keys of the section at `path`; empty if it is not a section."""
    return list(_resolved(node).get("properties", {})) if (node := node_at(path)) is not None else []


def known_keys(path: Sequence[str | int]) -> list[str]:
    """Return the keys that are allowed at `path`, also if other values than a section are."""
    node = node_at(path)
    return [key for choice in _choices(node) for key in choice.get("properties", ())] if node is not None else []


def all_keys() -> list[str]:
    """Return every dotted key of a value; sections are left out."""
    return [".".join(path) for path in _leaves(json_schema(), ())]


def accepts_switch(path: Sequence[str | int]) -> bool:
    """Return whether true and false are allowed at `path` (or the path is unknown)."""
    node = node_at(path)
    return node is None or any(
        choice.get("type") == "boolean" or True in choice.get("enum", ()) for choice in _choices(node)
    )


def accepts_any_text(path: Sequence[str | int]) -> bool:
    """Return whether text that the schema does not list is allowed at `path`."""
    node = node_at(path)
    return node is not None and any(choice.get("type") == "string" and not _words(choice) for choice in _choices(node))


def choices_at(path: Sequence[str | int]) -> list[str]:
    """Return the words that are allowed at `path`, if the schema lists any."""
    node = node_at(path)
    return [] if node is None else [word for choice in _choices(node) for word in _words(choice)]


def accepts_type(path: Sequence[str | int], name: str) -> bool:
    """Return whether a value of the JSON type `name` (string, null, ...) is allowed at `path`."""
    node = node_at(path)
    return node is not None and any(choice.get("type") == name for choice in _choices(node))


def maximum(path: Sequence[str | int]) -> float | None:
    """Return the upper bound of the number at `path`, if it has one."""
    bounds = [choice.get("maximum", choice.get("exclusiveMaximum")) for choice in _choices(node_at(path) or {})]
    return bounds[0] if bounds else None


def description(path: Sequence[str | int]) -> str:
    """Return the description of the key at `path`, in one line."""
    return " ".join(str((node_at(path) or {}).get("description", "")).split())


def expectation(path: Sequence[str | int]) -> str:
    """Return what is allowed at `path`, in words: `a whole number of at least 1, or auto`."""
    node = node_at(path)
    if node is None:
        return "nothing"
    words = choices_at(path)
    kinds = [_kind(choice) for choice in _choices(node) if not _words(choice)]
    listed = ", ".join(words[:-1]) + " or " + words[-1] if len(words) > 1 else "".join(words)
    return ", or ".join([*kinds, *([listed] if listed else [])])


def right_key(path: Sequence[str | int]) -> str | None:
    """Return advice on an unknown key: the key that was probably meant, with its section."""
    *section, word = (str(part) for part in path)
    here = known_keys(section)
    if (near := near_miss(word, here)) is not None:
        return f"did you mean {near!r}?"
    plain = word.lower().replace("-", "_")
    if plain in _ELSEWHERE:
        return f"raytl calls it {_ELSEWHERE[plain]}"
    by_name: dict[str, list[str]] = {}
    for key in all_keys():
        by_name.setdefault(key.rpartition(".")[2], []).append(key)
    match = near_miss(word, by_name)
    return f"did you mean {' or '.join(by_name[match])}?" if match else None


def _inner(node: Node, part: str | int) -> Iterator[Node]:
    for choice in _choices(node):
        if isinstance(part, str) and part in choice.get("properties", {}):
            yield choice["properties"][part]
        elif isinstance(part, str) and isinstance(choice.get("additionalProperties"), dict):
            yield choice["additionalProperties"]
        elif isinstance(part, int) and part < len(choice.get("prefixItems", ())):
            yield choice["prefixItems"][part]


def _leaves(node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, inner in _resolved(node)["properties"].items():
        if "properties" in _resolved(inner):
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key)


def _resolved(node: Node) -> Node:
    if "$ref" not in node:
        return node
    definition: Node = json_schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return definition


def _choices(node: Node) -> list[Node]:
    node = _resolved(node)
    return [inner for choice in node["anyOf"] for inner in _choices(choice)] if "anyOf" in node else [node]


def _words(node: Node) -> list[str]:
    return [node["const"]] if "const" in node else [str(word) for word in node.get("enum", ())]


def _kind(node: Node) -> str:
    match node.get("type"):
        case "integer":
            return "a whole number" + _bounds(node)
        case "number":
            return "a number" + _bounds(node)
        case "string":
            return f"text such as {node['examples'][0]!r}" if "examples" in node else "text"
        case "array":
            return f"a list of {len(node.get('prefixItems', ())) or 'several'} numbers"
        case "object" if "properties" in node:
            return f"a section with the keys {', '.join(node['properties'])}"
        case "object":
            return f"a mapping of names to {_kind(node['additionalProperties'])}"
        case "boolean":
            return "true or false"
    return str(node.get("type", "a value"))


def _bounds(node: Node) -> str:
    minimum, maximum = node.get("minimum"), node.get("maximum")
    if minimum is not None and maximum is not None:
        return f" from {minimum:g} to {maximum:g}"
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    parts = [f"{word} {node[key]:.12g}" for key, word in words.items() if key in node]
    return f" {' and '.join(parts)}" if parts else ""
