"""Renamed command-line options: the old spelling is an error that names the new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer


def renamed(old: str, new: str, values: Mapping[str, str] | None = None) -> Any:
    """Return a hidden option `old` that fails with exit code 2 and names `new`; `values` maps renamed values."""
    return typer.Option(old, hidden=True, callback=_refusing(old, new, values or {}))


def _refusing(old: str, new: str, values: Mapping[str, str]) -> Callable[[str | None], None]:
    def refuse(value: str | None) -> None:
        if value is not None:
            raise typer.BadParameter(f"{old} was renamed to {new}; use {new} {values.get(value, value)}")

    return refuse
