"""The base class of the sections of the experiment file, and fields with units."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema


def _epochs(value: Any) -> Any:
    """Return the number of epochs of `"1 epoch"`, `"2.5 epochs"` or a plain number."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(?:epochs?)?\s*", value)
        if match is None:
            raise ValueError(f"{value!r} is not a number of epochs; write 1, '1 epoch' or '2 epochs'")
        return float(match[1])
    return value


_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: Any) -> Any:
    """Return the seconds of `"2 h"`, `"90 min"`, `"1 d"` or a plain number (seconds)."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(s|min|h|d)?\s*", value)
        if match is None:
            raise ValueError(f"{value!r} is not a duration; write '2 h', '90 min', '45 s' or '1 d'")
        return float(match[1]) * _UNITS_S[match[2] or "s"]
    return value


_EPOCHS_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^\s*[0-9.]+\s*(epochs?)?\s*$", "examples": ["2 epochs"]},
        ]
    }
)
WholeEpochs = Annotated[int, BeforeValidator(_epochs), Field(ge=0), _EPOCHS_SCHEMA]
Epochs = Annotated[float, BeforeValidator(_epochs), Field(ge=0), _EPOCHS_SCHEMA]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\s*[0-9.]+\s*(s|min|h|d)?\s*$", "examples": ["2 h"]},
            ]
        }
    ),
]
Metric = Annotated[str, Field(pattern=r"^val/[a-z][a-z0-9_]{0,99}$")]
"""A metric of the validation split; the task states which there are."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A section of the experiment: frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


construct: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
"""Checks the arguments of `Experiment(...)`; `raytl.config.resolve`, which imports the schema, sets it."""
