"""Numbers formatted for people."""

from __future__ import annotations

import math

from raytl.score_names import is_fraction, title


def metric(name: str) -> str:
    """Return the name of a metric: `val/balanced_accuracy` is `balanced accuracy`, `map_50` is `mAP 50`."""
    return title(name.rpartition("/")[2])


def score(name: str, value: float) -> str:
    """Return a score: fractions in percent, losses with three decimals, an undefined one as a dash."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if is_fraction(name) else f"{value:.3f}"


def rate(value: float) -> str:
    """Return a learning rate: `0.001` is `1e-3`, `0.00036` is `3.6e-4`."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def count(value: int) -> str:
    """Return a number of parameters: `3504872` is `3.5 M`."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return str(value)


def duration(seconds: float) -> str:
    """Return a duration: `75` is `1:15`, `4000` is `1:06:40`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def age(seconds: float) -> str:
    """Return a duration in its largest unit: `45` is `45 s`, `7200` is `2 h`, `400000` is `4 d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int) -> str:
    """Return a number of bytes: `15360` is `15.4 kB`, `42100000` is `42.1 MB`."""
    for unit, bound in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bound:
            return f"{count / bound:.1f} {unit}"
    return f"{count} bytes"


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: `1 image`, `1,204 images`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
