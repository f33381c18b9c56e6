"""A run is a folder: where its files are, how they are written whole, where it came from, who looked at its test."""

from __future__ import annotations

from raytl.run.folder import RunFolder

__all__ = ["RunFolder"]
