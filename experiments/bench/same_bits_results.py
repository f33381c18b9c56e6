"""Read what raytl leaves in files, and keep what the same code reproduces: no times, paths, names or prose."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

RENAMED = {"comparison": "contest"}
"""Keys in the output that a later version renamed: new name to old name."""
_VOLATILE = re.compile(r"seconds|images_per_s|_ms$|^(who|listing|source|features)$")
"""Keys that are left out: times, names of users, and prose."""
_TOKEN = re.compile(r"[a-z_]+|[0-9a-f]{16,64}")
"""Strings that are kept: single words (states, classes) and digests. Sentences, paths and dates are not."""


def renamed(value: Any) -> Any:
    """Return `value` with the old names of its keys."""
    if isinstance(value, dict):
        return {RENAMED.get(key, key): renamed(inner) for key, inner in value.items()}
    return [renamed(inner) for inner in value] if isinstance(value, list) else value


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the reproducible leaves of `value` by their path."""
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if not _VOLATILE.search(str(name)):
                yield from flat(inner, f"{key}.{name}".lstrip("."))
    elif not isinstance(value, str) or _TOKEN.fullmatch(value):
        yield key, value


def files(root: Path, suffix: str) -> dict[str, Path]:
    """Return the files below `root` that end in `suffix`, by relative path without the digests in trials' names."""
    paths = sorted(root.rglob(f"*{suffix}"))
    return {re.sub(r"-[0-9a-f]{8}(?=/)", "", path.relative_to(root).as_posix()): path for path in paths}


def journals(root: Path) -> dict[str, Any]:
    """Return the metrics of every epoch in the run or sweep folder `root`, by file."""
    lines = {name: path.read_text().splitlines() for name, path in files(root, ".jsonl").items()}
    return {name: renamed(list(map(json.loads, own))) for name, own in lines.items() if own and '"epoch"' in own[0]}


def weights(root: Path) -> dict[str, str]:
    """Return a digest of the names, types, shapes and bytes of the tensors in each file below `root`."""
    return {name: digest(path) for name, path in files(root, ".safetensors").items()}


def digest(path: Path) -> str:
    """Return the digest of the tensors in a file."""
    hashed = hashlib.sha256()
    with safe_open(path, "np") as tensors:
        for name in sorted(tensors.keys()):
            values = tensors.get_tensor(name)
            hashed.update(f"{name} {values.dtype} {values.shape}\n".encode() + values.tobytes())
    return hashed.hexdigest()


def trials(sweep: Path) -> Any:
    """Return the rows of the sweep's table: overrides, scores and states."""
    with next(sweep.glob("*.csv")).open(newline="") as file:
        return renamed([{key: number(cell) for key, cell in row.items()} for row in csv.DictReader(file)])


def number(cell: str) -> float | str:
    """Return the number in a table's cell, or its text."""
    try:
        return float(cell)
    except ValueError:
        return cell
