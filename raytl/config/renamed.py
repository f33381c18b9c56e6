"""Keys that were renamed: an error in a user's own file, translated silently in a stored experiment."""

from __future__ import annotations

import copy
from typing import Any

RENAMED = {
    "augment.colour": "augment.color",
    "data.sides": "data.split_file",
    "retrain.how.vanished_classes": "retrain.how.removed_classes",
    "search.share": "search.feature_cache",
}
"""The current name of each dotted key that raytl 0.1.0 had under another one."""


def translated(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `raw` with the current names in place of old ones; if both are there, the current one counts."""
    values = copy.deepcopy(raw)
    for old, new in RENAMED.items():
        section, _, key = old.rpartition(".")
        parent = _section(values, section)
        if key in parent:
            parent.setdefault(new.rpartition(".")[2], parent.pop(key))
    return values


def _section(values: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the section at a dotted path; an empty one if there is none."""
    section: Any = values
    for part in path.split("."):
        section = section.get(part) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else {}
