"""`monitor.json` of a bundle: the statistics of validation images, which the stream of answers is compared with."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.errors import ModelError
from raytl.stored import Format
from raytl.stored.bounds import Bound, Name, at_least, at_most

MONITOR_JSON = "monitor.json"
PIXELS = ("brightness", "contrast", "sharpness", "warmth", "greenness")
"""The properties of the view that the network sees: the first of `raytl.data.image_properties.NAMES`."""
STATISTICS = ("confidence", "distance", *PIXELS)
MAX_ROWS = 1500
"""Images of a reference, and images that a monitor retains."""
Rows = NDArray[np.float32]


def _is_finite(text: str) -> bool:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(content) % 4 == 0 and bool(np.isfinite(np.frombuffer(content, "<f4")).all())


Numbers = Annotated[str, at_least(1, "number"), Bound("finite 32-bit numbers in base64", _is_finite)]
Statistics = Annotated[
    tuple[Name, ...], at_least(1, "statistic"), at_most(20, "statistics"), Bound("names", lambda names: all(names))
]


@dataclass(frozen=True, slots=True)
class MonitorReference:
    """The `rows (n, k)` of validation images, row by row, for k `statistics`, by the model with these `weights`."""

    format: Literal[1]
    weights: Name
    statistics: Statistics
    rows: Numbers

    @property
    def table(self) -> Rows:
        """The statistics, `(n, k)`."""
        return rows_of(self.rows, len(self.statistics))


def _is_whole(reference: MonitorReference) -> bool:
    return is_table(reference.rows, len(reference.statistics))


REFERENCE_FORMAT = Format[MonitorReference](
    Annotated[MonitorReference, Bound(f"1 to {MAX_ROWS:,} rows of its statistics", _is_whole)],
    "the reference of a monitor",
    "Export the model again with `raytl export`.",
    ModelError,
)


def monitor_reference(
    weights: str, confidence: ArrayLike, distance: ArrayLike | None, properties: ArrayLike
) -> dict[str, Any]:
    """Return the value of `monitor.json` of the model with these `weights`, for n validation images.

    `confidence (n,)` is that of the answers, `distance (n,)` that to the training reference (None without one), and
    `properties (n, 5)` or more columns as evidence has them (`raytl.data.image_properties`). Of more than `MAX_ROWS` images, a
    random part is used.
    """
    sure, pixels = np.asarray(confidence, np.float32), np.asarray(properties, np.float32)[:, : len(PIXELS)]
    far = [] if distance is None else [np.asarray(distance, np.float32)[:, None]]
    table = np.concatenate([sure[:, None], *far, pixels], axis=1)
    if len(table) > MAX_ROWS:
        table = table[np.sort(np.random.default_rng(0).choice(len(table), MAX_ROWS, replace=False))]
    names = tuple(name for name in STATISTICS if distance is not None or name != "distance")
    value = asdict(MonitorReference(1, weights, names, encoded_rows(table)))
    return {**value, "statistics": list(names)}


def encoded_rows(table: ArrayLike) -> str:
    """Return a table of numbers as base64."""
    return base64.b64encode(np.ascontiguousarray(table, "<f4").tobytes()).decode()


def rows_of(text: str, columns: int) -> Rows:
    """Return the table of `encoded_rows`."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32).reshape(-1, columns)


def is_table(text: str, columns: int) -> bool:
    """Return whether base64 text is of 1 to `MAX_ROWS` rows."""
    numbers = len(base64.b64decode(text)) // 4
    return columns <= numbers <= MAX_ROWS * columns and numbers % columns == 0


def row_of(names: Sequence[str], values: dict[str, float]) -> Rows | None:
    """Return the statistics of one image in the order of `names`; None if one is missing or not finite."""
    row = np.array([values.get(name, np.nan) for name in names], np.float32)
    return row if np.isfinite(row).all() else None
