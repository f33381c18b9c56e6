"""The node's cache folder: one place for pulled data, decoded images and remembered audits."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """The node's cache folder (`RAYTL_CACHE`, else `raytl` under `XDG_CACHE_HOME` or ~/.cache); it need not exist yet."""
    if given := os.environ.get("RAYTL_CACHE"):
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "raytl"
