"""Frozen features of training images, computed once for each network, preprocessing and set of images on this node."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.events import OnEvent
from raytl.models.backbone import Backbone
from raytl.models.forward import pick_device, pick_precision
from raytl.tasks.feature_rows import ensure
from raytl.tasks.task import HeadSolver

_FORMAT = 1


def cached_features(
    experiment: Experiment, solver: HeadSolver, backbone: Backbone, samples: Sequence[Sample], on_event: OnEvent
) -> Tensor:
    """Return the inputs of the head for `samples`, `(n, d) float32`: from the node's cache, or computed into it.

    Raises:
        DiskError: the disk is full.
    """
    device = pick_device(experiment.compute.device)

    def fill() -> Iterator[Tensor]:
        backbone.module.to(device)
        yield solver.features(experiment, backbone, samples, on_event, f"features of {backbone.name}")

    precision = str(pick_precision(experiment.train.precision, device))
    key = _key(backbone, samples, device.type, precision)
    rows = ensure(key, len(samples), fill, experiment.data.cache_limit_gb * 1e9)
    return rows.take(np.arange(len(samples)))


def _key(backbone: Backbone, samples: Sequence[Sample], device: str, precision: str) -> str:
    """Return a digest of everything that the features depend on."""
    parts = {
        "format": _FORMAT,
        "kind": "inputs of the head",
        "model": backbone.name,
        "weights": backbone.weights_digest,
        "preprocess": repr(backbone.preprocess),
        "precision": precision,
        "device": device,
        "samples": hashlib.sha256("".join(sample.digest for sample in samples).encode()).hexdigest(),
    }
    parts |= {"statistics": backbone.statistics} if backbone.statistics else {}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
