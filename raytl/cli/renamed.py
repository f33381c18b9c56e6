"""Renamed command-line options: the old spelling is an error that names the new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer


def renamed(old: str, new: str) -> Any:
    """Return a hidden option `old` that fails with exit code 2 and names `new`."""
    return typer.Option(old, hidden=True, callback=_refusing(old, new))


def _refusing(old: str, new: str) -> Callable[[str | None], None]:
    def refuse(value: str | None) -> None:
        if value is not None:
            raise typer.BadParameter(f"{old} was renamed to {new}; use {new} {value}")

    return refuse
