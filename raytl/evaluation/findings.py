"""The findings of a split as arrays of `evidence.safetensors`, and back, with every value bounded.

Beside the arrays of `raytl.evaluation.evidence`, of which `logits` has no columns then, the file has those of `Findings`
(`findings.image`, ...) and of `Wanted` (`wanted.image`, ...), and of class maps those of `raytl.evaluation.pixels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.evaluation import pixels
from raytl.metrics.findings import ERRORS, SIZES, Findings, Wanted

Arrays = Mapping[str, NDArray[Any]]
_FINDINGS, _WANTED = "findings.", "wanted."
_TYPES: Mapping[str, type] = {
    "image": np.int32, "label": np.int32, "truth": np.int32, "error": np.int8, "size": np.int8, "confidence": np.float32,
    "boxes": np.float32, "thresholds": np.float32, "score": np.float32,
}  # fmt: skip
"""The types in the file."""
_WIDE: Mapping[str, type] = {
    "image": np.int64,
    "label": np.int64,
    "truth": np.int64,
    "error": np.int64,
    "size": np.int64,
}
_LIMIT = 1e9
"""The largest coordinate of a box, in pixels."""


class WrongFindings(ValueError):
    """Say what is wrong with stored findings."""


def arrays_of(findings: Findings) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file."""
    return {
        f"{prefix}{each.name}": np.ascontiguousarray(getattr(part, each.name), _TYPES[each.name])
        for prefix, part in ((_FINDINGS, findings), (_WANTED, findings.wanted))
        for each in fields(part)
        if each.name in _TYPES
    } | ({} if findings.pixels is None else pixels.arrays_of(findings.pixels))


def findings_of(arrays: Arrays, images: int, classes: int) -> Findings | None:
    """Return the findings in the arrays of a file, of so many images and classes; None if it has none.

    Raises:
        WrongFindings: an array is missing, or has another type, shape or values out of bounds; it says which.
    """
    if not any(name.startswith((_FINDINGS, _WANTED)) for name in arrays):
        return None
    wanted = _table(arrays, _WANTED, Wanted, {}, images, classes)
    things = len(wanted["image"])
    values = _table(arrays, _FINDINGS, Findings, {"thresholds": classes, "score": images}, images, classes)
    _bounded(values, "findings.truth", "truth", -1, things)
    _bounded(values, "findings.error", "error", 0, len(ERRORS))
    _matching(values, wanted)
    try:
        own = pixels.pixels_of(arrays, images, classes)
    except ValueError as error:
        raise WrongFindings(str(error)) from error
    return Findings(wanted=Wanted(**wanted), pixels=own, **values)


def in_order(findings: Findings, order: NDArray[np.int64]) -> Findings:
    """Return the findings with image `order[i]` at place i."""
    place = np.argsort(order)
    wanted = replace(findings.wanted, image=place[findings.wanted.image])
    return replace(
        findings,
        image=place[findings.image],
        score=findings.score[order],
        wanted=wanted,
        pixels=pixels.in_order(findings.pixels, order),
        unknown=None if findings.unknown is None else findings.unknown[order],
    )


def _table(
    arrays: Arrays, prefix: str, kind: type, lengths: Mapping[str, int], images: int, classes: int
) -> dict[str, NDArray[Any]]:
    """Return the fields of `kind`, whose arrays are as long as its `image` except those in `lengths`."""
    names = [each.name for each in fields(kind) if each.name in _TYPES]
    values = {name: _array(arrays, f"{prefix}{name}", _TYPES[name]) for name in names}
    count = len(values["image"])
    for name, value in values.items():
        shape = (lengths.get(name, count), *([value.shape[-1]] if name == "boxes" else []))
        _require(value.shape == shape, prefix + name, f"shape {value.shape}", f"{shape}")
    _require(values["boxes"].shape[1] in (0, 4), f"{prefix}boxes", f"{values['boxes'].shape[1]} columns", "0 or 4")
    _bounded(values, f"{prefix}image", "image", 0, images)
    _bounded(values, f"{prefix}label", "label", 0, classes)
    _bounded(values, f"{prefix}size", "size", -1, len(SIZES))
    for name in values.keys() & {"confidence", "thresholds", "score"}:
        _require(bool(((values[name] >= 0) & (values[name] <= 1)).all()), prefix + name, "others", "values from 0 to 1")
    _require(bool((np.abs(values["boxes"]) <= _LIMIT).all()), f"{prefix}boxes", "others", "coordinates in pixels")
    return {name: value.astype(_WIDE.get(name, value.dtype)) for name, value in values.items()}


def _matching(values: Arrays, wanted: Arrays) -> None:
    """Check that findings concern things of their own image, and that both have places or neither."""
    widths = [part["boxes"].shape[1] for part in (values, wanted)]
    _require(widths[0] == widths[1], "wanted.boxes", f"{widths[1]} columns", f"{widths[0]}, as findings.boxes")
    concerned = values["truth"] >= 0
    images = wanted["image"][values["truth"][concerned]]
    _require(
        bool((images == values["image"][concerned]).all()), "findings.truth", "things of other images", "of their own"
    )


def _array(arrays: Arrays, name: str, kind: type) -> NDArray[Any]:
    _require(name in arrays, name, "no such array", "one")
    value = arrays[name]
    _require(value.dtype == kind and value.ndim >= 1, name, f"{value.dtype} {value.shape}", f"{np.dtype(kind)}")
    return value


def _bounded(values: Arrays, where: str, name: str, low: int, end: int) -> None:
    value = values[name]
    _require(bool(((value >= low) & (value < end)).all()), where, "others", f"whole numbers from {low} to {end - 1}")


def _require(is_fine: bool, where: str, wrong: str, expected: str) -> None:
    if not is_fine:
        raise WrongFindings(f"{where}: found {wrong}; expected {expected}")
