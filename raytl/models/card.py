"""The metadata of a saved model, as a value: enough to rebuild it and to preprocess images for it."""

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
    """A saved model: its architecture, classes in the order of the logits, preprocessing and origin.

    `weights_digest` identifies the pretrained tensors ("none" = random), `digest` the saved tensors.
    """

    model: Name
    classes: Classes
    preprocess: Preprocess
    weights_digest: Name
    task: Name = "classification"
    digest: Name = ""

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON-compatible values."""
        return {**asdict(self), "classes": list(self.classes), "preprocess": self.preprocess.to_json()}


PREPROCESS_FORMAT = Format[Preprocess](
    Preprocess, "the preprocessing of a model", "Change model.preprocess in the experiment.", ModelError
)
CARD_FORMAT = Format[Card](
    Card, "a model card", "Restore the file, or save the model again.", ModelError, max_bytes=8 << 20
)


def bundle_directory(path: str | Path) -> Path | None:
    """Return the bundle at `path`: the folder itself or a run's `checkpoints/best`; None if neither is a bundle."""
    for folder in (Path(path), Path(path) / "checkpoints" / "best"):
        if (folder / CARD).is_file():
            return folder
    return None


def read_card(directory: str | Path, on_event: OnEvent = ignore) -> Card:
    """Return the card of the bundle in `directory`; report and ignore keys that this version does not know.

    Raises:
        ModelError: the card is missing or unreadable.
    """
    path = Path(directory) / CARD
    if not path.exists():
        raise ModelError(
            f"{directory} is not a saved model: it has no {CARD}; expected a folder with {CARD} and {WEIGHTS}"
        )
    return CARD_FORMAT.load(path, on_event)
