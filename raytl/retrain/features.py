"""Images as the champion sees them: what enters the last layer of its head, and what it predicts from that."""

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
from raytl.metrics.drift import FOLDS, Drift, Sureness, drift, sureness
from raytl.metrics.scores import softmax
from raytl.models.backbone import build
from raytl.models.card import read_card
from raytl.models.forward import EVAL_BATCH, pick_device
from raytl.models.heads import inherit
from raytl.models.probe import head_inputs, head_layer
from raytl.retrain.changes import LEAST
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.world import World

MOST = 400
"""Images that stand for all the others."""
FILE = "reference.npz"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Seen:
    """Images as a model sees them: `features (n, d)`, true `labels`, `predicted` classes and `confidence`, `(n,)` each."""

    features: NDArray[np.float32]
    labels: NDArray[np.str_]
    predicted: NDArray[np.str_]
    confidence: NDArray[np.float64]

    def rows(self, places: NDArray[np.int64]) -> Seen:
        """Some of them."""
        return Seen(self.features[places], self.labels[places], self.predicted[places], self.confidence[places])

    def encoded(self) -> bytes:
        """As an .npz file without pickles, the features in half precision."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream, features=self.features.astype(np.float16), labels=self.labels, predicted=self.predicted,
            confidence=self.confidence,
        )  # fmt: skip
        return stream.getvalue()

    @classmethod
    def decoded(cls, content: bytes, where: str) -> Seen:
        """The value that `encoded` gave; errors call it `where`.

        Raises:
            RegistryError: it cannot be read.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                names = ("features", "labels", "predicted", "confidence")
                features, *columns = (found[name] for name in names)
            if features.ndim != 2 or any(column.shape != features.shape[:1] for column in columns):
                raise ValueError("its arrays do not have one row for each image")
            return cls(
                features.astype(np.float32), columns[0].astype(str), columns[1].astype(str), columns[2].astype(float)
            )
        except _DAMAGE as error:
            raise RegistryError(
                f"{where}: cannot be read as features of images ({type(error).__name__}: {str(error)[:200]}); expected what "
                "`raytl retrain` wrote. Publish a new version, which brings its own."
            ) from error


def seen(
    bundle: Path,
    samples: Sequence[Sample],
    device: str,
    max_pixels: int,
    on_event: OnEvent,
    s3: S3Settings = ENVIRONMENT,
) -> Seen:
    """The samples as the model in `bundle` sees them.

    Raises:
        ModelError: its head is not linear in what enters its last layer.
    """
    card, at = read_card(bundle), pick_device(device)
    backbone = build(ModelConfig(name=card.model, weights=str(bundle)), len(card.classes))
    inherit(backbone, str(bundle), card.classes)
    backbone.module.to(at)
    images = source_images(samples, card.preprocess, max_pixels, s3)
    loader = EvalLoader(
        images, np.zeros(len(samples), int), card.preprocess, batch=EVAL_BATCH[at.type], world=World.solo()
    )
    with closing(loader):
        inputs, _ = head_inputs(backbone, loader, at, torch.float32)
    on_event(Work("features of new images", len(samples), len(samples)))
    layer = head_layer(backbone)
    with torch.no_grad():
        logits = inputs @ layer.weight.cpu().flatten(1).T + (0 if layer.bias is None else layer.bias.cpu())
    shares = softmax(logits.numpy())
    return Seen(
        features=inputs.numpy(),
        labels=np.array([sample.label for sample in samples]),
        predicted=np.array(card.classes)[shares.argmax(1)],
        confidence=shares.max(1),
    )


def some(samples: Sequence[Sample], most: int = MOST) -> tuple[Sample, ...]:
    """At most so many of the samples, drawn by their content: the same ones wherever this is asked."""
    return tuple(sorted(samples, key=lambda sample: sample.digest)[:most])


def compared(before: Seen, now: Seen) -> tuple[Drift | None, Sureness | None, dict[str, tuple[int, int]]]:
    """How far the new images have drifted, how sure the model is of them, and how often it predicts each class then and now.

    As many of each class on both sides, so that another share of the classes is not taken for drift; None of too few.
    """
    then, later = _matched(before.labels, now.labels)
    if len(then) < max(LEAST, FOLDS):
        return None, None, {}
    one, other = before.rows(then), now.rows(later)
    counts = Counter(one.predicted.tolist()), Counter(other.predicted.tolist())
    predicted = {name: (counts[0][name], counts[1][name]) for name in sorted({**counts[0], **counts[1]})}
    return drift(one.features, other.features), sureness(one.confidence, other.confidence), predicted


def _matched(one: NDArray[np.str_], other: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in both with as many of each label."""
    first, second = [], []
    for label in sorted({*one.tolist()} & {*other.tolist()}):
        places = np.flatnonzero(one == label), np.flatnonzero(other == label)
        count = min(map(len, places))
        first.append(places[0][:count])
        second.append(places[1][:count])
    if not first:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(first), np.concatenate(second)
