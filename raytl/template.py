"""Render HTML with Jinja2: every value is escaped, secrets are starred, and control characters are made visible."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.sanitize import printable, redactor

if TYPE_CHECKING:
    from jinja2 import Template

TABLE_STYLE = """
.raytl table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:6px 0 14px}
.raytl th,.raytl td{text-align:right;padding:3px 10px;border-bottom:1px solid #d8dee4}
.raytl th:first-child,.raytl td:first-child{text-align:left}
.raytl .soft{color:#6e7781}.raytl img{max-width:100%;display:block;margin:8px 0}
"""
"""The look of what a notebook shows, within elements of the class `raytl`."""


def render(template: str, **values: Any) -> str:
    """Return `template` (Jinja2) filled with `values`."""
    return _compiled(template).render(values, style=TABLE_STYLE)


def embedded(picture: Path) -> str:
    """Return a PNG file as a `data:` URI; empty if there is no such file."""
    try:
        return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    except OSError:
        return ""


@lru_cache(maxsize=32)
def _compiled(template: str) -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_safe, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template)


def _safe(value: Any) -> Any:
    """Return text as it may be shown: names are other people's, and may hold bytes that are no UTF-8."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return printable(redactor()(value.encode("utf-8", "backslashreplace").decode()))
