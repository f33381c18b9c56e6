"""The model that answers now. It is replaced in one step; photos that are being computed finish on the one they began with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.bundle.opening import OpenBundle, open_bundle
from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import BitDepth
from raytl.data.decode import decode
from raytl.data.pixel_memory import machine_bytes, reserved
from raytl.errors import ModelError
from raytl.serving.refusal import Refusal
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

_GRAPH_BYTES_A_PIXEL = 32
"""Of a graph that resizes the photo itself: float copies of it."""
_REPORTED = ("probabilities", "scores", "boxes")
"""The outputs whose numbers are in answers, where JSON has none that are not finite."""
_WARM_PX = 256
_WARM_RUNS = 3


@dataclass(frozen=True, eq=False, slots=True)
class Answered:
    """The answer for a photo as JSON values, and the features of its pixels, if the bundle has them."""

    answer: dict[str, Any]
    features: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class ServedModel:
    """An open bundle, the version that its answers carry, and the largest photo that it takes.

    A photo may take `max_memory_bytes` while it is decoded or in the graph: one that takes more would end the process.
    """

    bundle: OpenBundle
    version: str
    max_pixels: int
    s3: S3Settings = ENVIRONMENT
    max_memory_bytes: int | None = None

    def pixels(self, content: bytes) -> NDArray[np.uint8]:
        """Return a photo as upright RGB pixels `(height, width, 3) uint8`.

        Raises:
            Refusal: 422, it is not a readable image, and why.
        """
        view = self.bundle.card.view
        try:
            image = decode(
                content, self.max_pixels, BitDepth(view.bits, view.bits_fixed), self.s3, self.max_memory_bytes
            )
        except BadImage as error:
            raise Refusal(422, f"unreadable image: {error.reason}") from None
        return np.asarray(image)

    def answered(self, pixels: NDArray[np.uint8]) -> Answered:
        """Return the answer for upright RGB pixels.

        Raises:
            Refusal: 422, they take too much memory; 500, the answer has a number that is not finite.
        """
        model, size = self.bundle.model, (pixels.shape[1], pixels.shape[0])
        needed = size[0] * size[1] * _GRAPH_BYTES_A_PIXEL if self.bundle.card.input == "photo" else 0
        try:
            with reserved(needed, self.max_memory_bytes):
                outputs = model.outputs([pixels])[0]
        except BadImage as error:
            raise Refusal(422, f"a photo of {size[0]} x {size[1]} pixels: {error.reason}") from None
        if not all(np.isfinite(outputs[name]).all() for name in _REPORTED if name in outputs):
            raise Refusal(500, "the model answers with a number that is not finite")
        features = outputs["features"][0] if "features" in outputs else None
        answer = model.answer(outputs, size)
        return Answered({**answer, "version": self.version}, features)

    def warmed(self) -> ServedModel:
        """Return this model after a few runs, the first of which are slow.

        Raises:
            ModelError: it opens, but does not answer.
        """
        try:
            file = io.BytesIO()
            Image.new("RGB", (_WARM_PX, _WARM_PX), (128, 128, 128)).save(file, "JPEG")
            for _ in range(_WARM_RUNS):
                answered = self.answered(self.pixels(file.getvalue()))
            json.dumps(answered.answer, allow_nan=False)
        except Exception as error:  # runtimes raise errors of their own
            raise ModelError(
                f"{self.bundle.model.folder}: the bundle opens, but does not answer ({error}); export the model again"
            ) from error
        return self


def opened(folder: Path, version: str, threads: int, max_pixels: int, s3: S3Settings) -> ServedModel:
    """Return the checked, open and warm model of the bundle in `folder`.

    Raises:
        ModelError: it is damaged, cannot be run here, or is for torch.
    """
    memory_bytes = machine_bytes() * 3 // 4
    return ServedModel(open_bundle(folder, threads), version, max_pixels, s3, memory_bytes).warmed()


class LiveModel:
    """The current model, and what the last try to replace it came to."""

    def __init__(self, model: ServedModel, on_swap: Callable[[ServedModel], None] = lambda model: None) -> None:
        self.current, self.swaps, self.failures = model, 0, 0
        self.on_swap = on_swap
        self.trouble = ""
        """Why the version that the alias names is not served; empty if it is."""

    def swap(self, model: ServedModel) -> None:
        """Let all photos from now on be answered by `model`."""
        self.current = model
        self.swaps += 1
        self.trouble = ""
        self.on_swap(model)

    def fail(self, reason: str) -> None:
        """Record why the model was not replaced."""
        self.failures += 1
        self.trouble = reason
