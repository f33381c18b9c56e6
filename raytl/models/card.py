"""What is known of a saved model, as a value: enough to build it again and to feed it images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.events import OnEvent, ignore
from raytl.stored import Format
from raytl.stored.bounds import Classes, Name

WEIGHTS = "model.safetensors"
CARD = "model.json"


@dataclass(frozen=True, slots=True)
class Card:
    """A saved model: its architecture, classes in the order of the logits, preprocessing, and where it comes from.

    `weights_digest` is of the pretrained tensors it started from ("none" = random), `digest` of its own tensors.
    """

    model: Name
    classes: Classes
    preprocess: Preprocess
    weights_digest: Name
    task: Name = "classification"
    digest: Name = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {**asdict(self), "classes": list(self.classes), "preprocess": self.preprocess.to_json()}


PREPROCESS_FORMAT = Format[Preprocess](
    Preprocess, "the preprocessing of a model", "Change model.preprocess in the experiment.", ModelError
)
CARD_FORMAT = Format[Card](
    Card, "a model card", "Restore the file, or save the model again.", ModelError, max_bytes=8 << 20
)


def bundle_directory(path: str | Path) -> Path | None:
    """The bundle at `path`: the folder itself, or a run's `checkpoints/best`; None where there is none."""
    for folder in (Path(path), Path(path) / "checkpoints" / "best"):
        if (folder / CARD).is_file():
            return folder
    return None


def read_card(directory: str | Path, on_event: OnEvent = ignore) -> Card:
    """The card of the bundle in `directory`; keys that this version does not know are ignored and listed.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    path = Path(directory) / CARD
    if not path.exists():
        raise ModelError(
            f"{directory} is not a saved model: it has no {CARD}; expected a folder with {CARD} and {WEIGHTS}"
        )
    return CARD_FORMAT.load(path, on_event)
