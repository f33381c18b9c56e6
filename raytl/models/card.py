"""The metadata of a saved model, as a value: enough to rebuild it and to preprocess images for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from raytl.config.neck import NeckConfig
from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.events import OnEvent, ignore
from raytl.metrics.calibration import TEMPERATURES
from raytl.stored import Format
from raytl.stored.bounds import Classes, Name, within

WEIGHTS = "model.safetensors"
CARD = "model.json"


@dataclass(frozen=True, slots=True)
class Card:
    """A saved model: its architecture, classes in the order of the outputs, preprocessing and origin.

    `weights_digest` identifies the pretrained tensors ("none" = random), `digest` the saved tensors. `head` and
    `neck_channels` are `model.head` and `model.neck.channels` of the experiment. `temperature` divides the logits of its
    answers; None = 1. `fine_tuned_fraction` is less than 1 if training fell back to an interpolation with the pretrained network
    and its solved head, and 0 for those alone; None = 1. `pruned` is the fraction of the channels of each layer that pruning
    removed, so that the shapes of the tensors are their own; None = none. `predict_score` is the lowest score of the objects that it reports; None
    for other tasks, and for models of earlier versions.
    """

    model: Name
    classes: Classes
    preprocess: Preprocess
    weights_digest: Name
    task: Name = "classification"
    digest: Name = ""
    head: Name | None = None
    neck_channels: Annotated[int, within(1, 1 << 16)] | None = None
    temperature: Annotated[float, within(*TEMPERATURES)] | None = None
    fine_tuned_fraction: Annotated[float, within(0, 1)] | None = None
    predict_score: Annotated[float, within(0, 1)] | None = None
    pruned: Annotated[float, within(0, 1)] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON-compatible values; options that are not set are left out."""
        values = {**asdict(self), "classes": list(self.classes), "preprocess": self.preprocess.to_json()}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def config(self) -> ModelConfig:
        """The configuration of the network without weights."""
        size = PreprocessOverride(image_px=self.preprocess.frame or self.preprocess.image_px)
        neck = NeckConfig(channels=self.neck_channels)
        channels = self.preprocess.channels
        return ModelConfig(
            name=self.model, weights="none", channels=channels, head=self.head, neck=neck, preprocess=size
        )


PREPROCESS_FORMAT = Format[Preprocess](
    Preprocess, "the preprocessing of a model", "Change model.preprocess in the experiment.", ModelError
)
CARD_FORMAT = Format[Card](
    Card, "a model card", "Restore the file, or save the model again.", ModelError, max_bytes=8 << 20
)


def saved_model_directory(path: str | Path) -> Path | None:
    """Return the saved model at `path`: the folder itself or a run's `checkpoints/best`; None if neither is one."""
    for folder in (Path(path), Path(path) / "checkpoints" / "best"):
        if (folder / CARD).is_file():
            return folder
    return None


def read_card(directory: str | Path, on_event: OnEvent = ignore) -> Card:
    """Return the card of the saved model in `directory`; report and ignore keys that this version does not know.

    Raises:
        ModelError: the card is missing or unreadable.
    """
    path = Path(directory) / CARD
    if not path.exists():
        raise ModelError(
            f"{directory} is not a saved model: it has no {CARD}; expected a folder with {CARD} and {WEIGHTS}"
        )
    return CARD_FORMAT.load(path, on_event)
