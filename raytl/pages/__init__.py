"""Self-contained HTML pages from Jinja2 templates: every value is escaped, and the secrets in it are redacted.

A page's templates are in `templates/` of its package and extend `base.html.j2` of this one.
"""

from __future__ import annotations

import base64
import io
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from raytl.sanitize import printable, redacted
from raytl.score_names import is_fraction

if TYPE_CHECKING:
    from PIL import Image


def render(package: str, template: str, **values: object) -> str:
    """Return the page that `template` of `package` makes of `values`."""
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("raytl.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": _count, "points": points, "score": score, "minute": _minute, "prose": _prose}
    return environment


class Html(str):
    """Text that is inserted as it is: it holds nothing to escape or redact."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def embedded(picture: Path) -> Html:
    """Return a PNG file as a `data:` URI; empty if there is no such file."""
    try:
        return Html("data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode())
    except OSError:
        return Html()


def jpeg(image: Image.Image) -> Html:
    """Return photos as a `data:` URI, compressed: a fifth of the size of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return Html("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode())


def _safe(value: object) -> object:
    """Redact the secrets in a text and show its control characters; markup comes from templates, or was declared safe there."""
    if hasattr(value, "__html__"):
        return value
    return printable(redacted(str(value).encode("utf-8", "backslashreplace").decode()))


def _prose(text: str) -> str:
    """Return a sentence whose numbers stay on one line with their percent signs."""
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)


def _count(value: int) -> str:
    return f"{value:,}"


def score(value: float | None, metric: str) -> str:
    """Return a score for people: a percentage, or a number; a dash if there is none, or it is undefined."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if is_fraction(metric) else f"{value:.3f}"


def points(value: float, metric: str) -> str:
    """Return a difference of scores, with its sign."""
    return f"{100 * value:+.1f} points" if is_fraction(metric) else f"{value:+.3f}"


def _minute(time: str) -> str:
    """Return an ISO 8601 time to the minute."""
    return time[:16].replace("T", " ")
