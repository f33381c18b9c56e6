"""Recognize a bundle where a run or a saved model is expected: both have a `model.json`."""

from __future__ import annotations

from pathlib import Path

from raytl.bundle.card import BUNDLE_FORMAT
from raytl.bundle.client import MODEL_JSON
from raytl.errors import ModelError
from raytl.models.card import WEIGHTS
from raytl.sanitize import command

CLIENT = "client.py"
"""The program in every bundle."""


def refuse_bundle(folder: Path) -> None:
    """Check that the model in `folder` is one of raytl's own network.

    Raises:
        ModelError: it is a bundle, which another runtime runs.
    """
    if (folder / WEIGHTS).is_file() or not (folder / CLIENT).is_file():
        return
    origin = BUNDLE_FORMAT.load(folder / MODEL_JSON).origin
    raise ModelError(
        f"{folder}: this is a bundle of `raytl export`, of the run {origin.run}; expected a run, a version or a saved model. Name "
        f"that run, or use `{command('raytl', 'serve', str(folder))}` or {CLIENT} in the bundle"
    )
