"""The experiment file: its schema, reading, overrides, comparison and writing. Light: imports neither torch nor Ray."""

from __future__ import annotations

from raytl.config.dump import to_yaml
from raytl.config.fingerprint import differences, fingerprint
from raytl.config.override import override, parse_assignment
from raytl.config.resolve import resolved
from raytl.config.schema import Experiment

__all__ = [
    "Experiment",
    "differences",
    "fingerprint",
    "override",
    "parse_assignment",
    "resolved",
    "to_yaml",
]
