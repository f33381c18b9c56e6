"""Measure drift between the images that a model was trained with and new ones, in the model's own features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample
from raytl.events import OnEvent
from raytl.metrics.drift import FOLDS, ConfidenceShift, Drift, confidence_shift, drift
from raytl.models.card import read_card
from raytl.retraining.changes import MIN_IMAGES
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks.features import FeatureTable
from raytl.tasks.registry import task_named

MAX_IMAGES = 400
"""Images that represent all of a data set."""
FILE = "reference.npz"


def extract(
    model_folder: Path,
    samples: Sequence[Sample],
    device: str,
    max_pixels: int,
    on_event: OnEvent,
    s3: S3Settings = ENVIRONMENT,
) -> FeatureTable:
    """Return the samples as the model in `model_folder` sees them.

    Raises:
        ModelError: the model has no features to compare.
    """
    reporting = task_named(read_card(model_folder).task).reporting
    return reporting.features(model_folder, samples, device, max_pixels, on_event, s3)


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
