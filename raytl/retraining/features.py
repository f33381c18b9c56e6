"""Images as a model sees them: the inputs of its last layer and its predictions, saved with a version to measure drift."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.config.schema import ModelConfig
from raytl.data.cache import source_images
from raytl.data.loader import EvalLoader
from raytl.data.manifest import Sample
from raytl.errors import RegistryError
from raytl.events import OnEvent, Work
from raytl.metrics.drift import FOLDS, ConfidenceShift, Drift, confidence_shift, drift
from raytl.metrics.scores import softmax
from raytl.models.backbone import build
from raytl.models.card import read_card
from raytl.models.forward import EVAL_BATCH, pick_device
from raytl.models.heads import inherit
from raytl.models.probe import head_inputs, head_layer
from raytl.retraining.changes import MIN_IMAGES
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.world import World

MAX_IMAGES = 400
"""Images that represent all of a data set."""
FILE = "reference.npz"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class FeatureTable:
    """Images as a model sees them: `features (n, d)`, true `labels`, `predicted` classes and `confidence`, each `(n,)`."""

    features: NDArray[np.float32]
    labels: NDArray[np.str_]
    predicted: NDArray[np.str_]
    confidence: NDArray[np.float64]

    def rows(self, places: NDArray[np.int64]) -> FeatureTable:
        """Return the rows at `places`."""
        return FeatureTable(self.features[places], self.labels[places], self.predicted[places], self.confidence[places])

    def encoded(self) -> bytes:
        """Encode as an .npz file without pickles, with the features in half precision."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream, features=self.features.astype(np.float16), labels=self.labels, predicted=self.predicted,
            confidence=self.confidence,
        )  # fmt: skip
        return stream.getvalue()

    @classmethod
    def decoded(cls, content: bytes, where: str) -> FeatureTable:
        """Decode the output of `encoded`; errors name it `where`.

        Raises:
            RegistryError: the content is damaged.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                names = ("features", "labels", "predicted", "confidence")
                features, *columns = (arrays[name] for name in names)
            if features.ndim != 2 or any(column.shape != features.shape[:1] for column in columns):
                raise ValueError("its arrays differ in length")
            return cls(
                features.astype(np.float32), columns[0].astype(str), columns[1].astype(str), columns[2].astype(float)
            )
        except _DAMAGE as error:
            raise RegistryError(
                f"{where}: cannot be read as features of images ({type(error).__name__}: {str(error)[:200]}); expected the "
                "file that `raytl retrain` wrote. Publish a new version, which has its own."
            ) from error


def extract(
    bundle: Path,
    samples: Sequence[Sample],
    device: str,
    max_pixels: int,
    on_event: OnEvent,
    s3: S3Settings = ENVIRONMENT,
) -> FeatureTable:
    """Return the samples as the model in `bundle` sees them.

    Raises:
        ModelError: the head is not linear in the inputs of its last layer.
    """
    card, at = read_card(bundle), pick_device(device)
    backbone = build(ModelConfig(name=card.model, weights=str(bundle)), len(card.classes))
    inherit(backbone, str(bundle), card.classes)
    backbone.module.to(at)
    images = source_images(samples, card.preprocess, max_pixels, s3)
    loader = EvalLoader(images, card.preprocess, batch=EVAL_BATCH[at.type], world=World.solo())
    with closing(loader):
        inputs = head_inputs(backbone, loader, at, torch.float32)
    on_event(Work("features of new images", len(samples), len(samples)))
    layer = head_layer(backbone)
    with torch.no_grad():
        logits = inputs @ layer.weight.cpu().flatten(1).T + (0 if layer.bias is None else layer.bias.cpu())
    probabilities = softmax(logits.numpy())
    return FeatureTable(
        features=inputs.numpy(),
        labels=np.array([sample.label for sample in samples]),
        predicted=np.array(card.classes)[probabilities.argmax(1)],
        confidence=probabilities.max(1),
    )


def subset(samples: Sequence[Sample], max_images: int = MAX_IMAGES) -> tuple[Sample, ...]:
    """Return at most `max_images` samples, drawn by their content: the same ones on every machine."""
    return tuple(sorted(samples, key=lambda sample: sample.digest)[:max_images])


def measure_drift(
    before: FeatureTable, now: FeatureTable
) -> tuple[Drift | None, ConfidenceShift | None, dict[str, tuple[int, int]]]:
    """Return the drift of the images `now`, the change in confidence, and how often each class is predicted then and now.

    Both tables are cut to the same number of images per class, so that a new class balance does not count as drift. None for
    fewer than 20 images.
    """
    places_before, places_now = _matched(before.labels, now.labels)
    if len(places_before) < max(MIN_IMAGES, FOLDS):
        return None, None, {}
    before, now = before.rows(places_before), now.rows(places_now)
    counts = Counter(before.predicted.tolist()), Counter(now.predicted.tolist())
    predicted = {name: (counts[0][name], counts[1][name]) for name in sorted({**counts[0], **counts[1]})}
    return drift(before.features, now.features), confidence_shift(before.confidence, now.confidence), predicted


def _matched(one: NDArray[np.str_], other: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return places in both arrays, with the same number of each label."""
    first, second = [], []
    for label in sorted({*one.tolist()} & {*other.tolist()}):
        places = np.flatnonzero(one == label), np.flatnonzero(other == label)
        count = min(map(len, places))
        first.append(places[0][:count])
        second.append(places[1][:count])
    if not first:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(first), np.concatenate(second)
