"""What is known of a saved model, as a value: enough to build it again and to feed it images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError

WEIGHTS = "model.safetensors"
CARD = "model.json"


@dataclass(frozen=True, slots=True)
class Card:
    """A saved model: its architecture, classes in the order of the logits, preprocessing, and where it comes from.

    `weights_digest` is of the pretrained tensors it started from ("none" = random), `digest` of its own tensors.
    """

    model: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    weights_digest: str
    task: str = "classification"
    digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {**asdict(self), "classes": list(self.classes), "preprocess": self.preprocess.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Card:
        """The value that `to_json` gave."""
        classes, preprocess = tuple(value["classes"]), Preprocess.from_json(value["preprocess"])
        return cls(**{**value, "classes": classes, "preprocess": preprocess})


def bundle_directory(path: str | Path) -> Path | None:
    """The bundle at `path`: the folder itself, or a run's `checkpoints/best`; None where there is none."""
    for folder in (Path(path), Path(path) / "checkpoints" / "best"):
        if (folder / CARD).is_file():
            return folder
    return None


def read_card(directory: str | Path) -> Card:
    """The card of the bundle in `directory`.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    path = Path(directory) / CARD
    try:
        return Card.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as exc:
        raise ModelError(
            f"{directory} is not a saved model: it has no {CARD}; expected a folder with {CARD} and {WEIGHTS}"
        ) from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(
            f"{path} cannot be read as a model card ({type(exc).__name__}: {exc}); save the model again"
        ) from exc
