"""The keys that decide a run's result, as one digest and as lines of differences; settings of a machine are left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from raytl.config.rules import idle_in
from raytl.config.schema import Experiment, Recipe
from raytl.config.section import Section

_NOT_DECISIVE = (
    "name",
    "recipe",  # what it chose decides
    "data.snapshot",  # the data itself decides, by its digest
    "data.split_file",
    "data.feedback",  # its images are in the data's digest
    "data.columns",  # the splits that groups give are in the data's digest
    "labels.relabel",  # the corrected labels are in the data's digest
    "labels.columns",  # the combined labels are in the data's digest
    "data.zip_encoding",  # the class names that it gives are in the data's digest
    "train.checkpoint_every_s",
    "predict.score",
    "predict.nms_iou",
    "predict.max_detections",
)
ADDED = ("calibrate", "labels.noise", "transfer.fallback")
"""Keys that stored experiments of raytl 0.1.0 lack; all others that can take effect are written out."""
OFF = ("none", "None", "[]", "0.0")
"""Values of keys that are off, as text: what began before such a key existed resumes."""


def fingerprint(recipe: Recipe) -> str:
    """Return the sha256 (hex) of every value that decides the result: equal for two experiments that train alike."""
    text = json.dumps(decisive(recipe), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(before: Recipe, after: Recipe) -> list[str]:
    """Return the decisive keys that differ, as lines such as `optim.lr: 0.001 -> 0.01`.

    A key that takes effect in one of the two only is left out; the key that makes it idle is listed.
    """
    old, new = compared(before, after)
    return [f"{key}: {old[key]} -> {new[key]}" for key in old if key in new and old[key] != new[key]]


def compared(before: Recipe, after: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the decisive values of both by dotted key, without keys that are newer than one of them."""
    newer = _newer_than(before) | _newer_than(after)
    old, new = ({key: value for key, value in decisive(one).items() if key not in newer} for one in (before, after))
    return old, new


def _newer_than(recipe: Recipe) -> set[str]:
    """Return the keys that did not exist when `recipe` was stored; an experiment of this version has all."""
    return set() if isinstance(recipe, Experiment) else {key for key in ADDED if not _is_set(recipe, key)}


def _is_set(section: Section, key: str) -> bool:
    first, _, rest = key.partition(".")
    return first in section.model_fields_set and (not rest or _is_set(getattr(section, first), rest))


def decisive(recipe: Recipe) -> dict[str, Any]:
    """Return the values by dotted key that decide the result; keys that cannot take effect are left out.

    Of an experiment only the keys of a recipe count: settings of a machine decide nothing.
    """
    useless = {one.key for one in idle_in(recipe)}
    values = _flat(recipe, Recipe, "")
    return {key: value for key, value in values if key not in _NOT_DECISIVE and key not in useless}


def _flat(section: Section, keys_of: type[Section], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, field in keys_of.model_fields.items():
        value = getattr(section, key)
        if isinstance(value, Section):
            assert isinstance(field.annotation, type), "a section's field names the section's type"
            yield from _flat(value, field.annotation, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
