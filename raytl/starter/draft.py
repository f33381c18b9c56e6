"""A draft of an experiment: its keys with the reason for each, as nested values and as a commented file. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raytl.config.choice import Choice
from raytl.config.dump import yaml_value
from raytl.sanitize import printable

_WIDTH = 100


@dataclass(frozen=True)
class Draft:
    """The choices for one dataset, and `notes` on facts that ask for no key of their own.

    `recipe` is what `recipe: auto` chooses when the experiment starts; it sets nothing. `recipe_note` says how far it is
    known.
    """

    choices: tuple[Choice, ...]
    notes: tuple[str, ...] = ()
    recipe: tuple[Choice, ...] = ()
    recipe_note: str = (
        "recipe: auto chooses the following when training starts, as far as the counts tell. `raytl check` also measures "
        "how well the model's features fit the data, and prints each choice. A key that you set wins."
    )

    def values(self) -> dict[str, Any]:
        """Return the keys as an experiment file nests them."""
        nested: dict[str, Any] = {}
        for choice in self.choices:
            *sections, key = choice.key.split(".")
            parent = nested
            for section in sections:
                parent = parent.setdefault(section, {})
            parent[key] = choice.value
        return nested

    def text(self) -> str:
        """Return the experiment file: YAML with the reason for each key above it."""
        why = {choice.key: choice.why for choice in self.choices if choice.why}
        notes = (_comment(note, "") for note in self.notes)
        return "".join([*notes, *_lines(self.values(), why, ()), *_recipe_lines(self.recipe, self.recipe_note)])


def _lines(values: dict[str, Any], why: Mapping[str, str], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a section: its own keys, then its subsections."""
    indent = "  " * len(path)
    for key, value in sorted(values.items(), key=lambda item: isinstance(item[1], dict)):
        dotted = ".".join((*path, key))
        if isinstance(value, dict):
            yield f"{indent}{key}:\n"
            yield from _lines(value, why, (*path, key))
            continue
        if dotted in why:
            yield _comment(why[dotted], indent)
        yield f"{indent}{key}: {yaml_value(value)}\n"


def _recipe_lines(recipe: Sequence[Choice], note: str) -> Iterator[str]:
    """Yield comments on what the recipe will choose, with the reasons."""
    if not recipe:
        return
    yield _comment(note, "")
    for choice in recipe:
        yield f"#   {choice.key}: {yaml_value(choice.value)}\n"
        yield textwrap.indent("\n".join(textwrap.wrap(printable(choice.why), _WIDTH - 8)), "#       ") + "\n"


def _comment(text: str, indent: str) -> str:
    lines = textwrap.wrap(printable(text), _WIDTH - len(indent))
    return textwrap.indent("\n".join(lines), f"{indent}# ") + "\n"
