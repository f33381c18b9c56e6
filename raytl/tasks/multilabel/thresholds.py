"""One decision threshold a label, chosen on validation and stored in the network's buffer `thresholds`.

A label is present if its probability is at least its threshold.
"""

from __future__ import annotations

from math import isnan

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from raytl.metrics.best_f1 import best_f1_threshold
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.tasks.multilabel.targets import Vectors

BUFFER = "thresholds"
DEFAULT = 0.5
"""The threshold of a label with no present image in validation, and of a network that was not validated."""


def best_thresholds(probabilities: ArrayLike, vectors: Vectors) -> NDArray[np.float32]:
    """Return the threshold of each label with the highest F1 on its known images, `(labels,) float32`.

    Candidates lie midway between neighboring probabilities; of equally good ones, the one nearest to 0.5 wins. A label that
    no image has gets 0.5. Inputs are `(n, labels)`.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    columns = [_best(table[rows, label], vectors[rows, label] == 1) for label, rows in enumerate((vectors >= 0).T)]
    return np.array(columns, dtype=np.float32)


def _best(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    threshold = best_f1_threshold(scores, truth, int(truth.sum()))
    return DEFAULT if isnan(threshold) else threshold


def add_thresholds(backbone: Backbone, labels: int) -> None:
    """Give the last layer of the head a buffer with the threshold of each label, so that it is saved with the network."""
    head_layer(backbone).register_buffer(BUFFER, torch.full((labels,), DEFAULT))


def thresholds_of(module: nn.Module) -> Tensor:
    """Return the thresholds in `module`, `(labels,)`, in [0, 1]; a value that is no number counts as 0.5."""
    stored = next(tensor for name, tensor in module.named_buffers() if name.rpartition(".")[2] == BUFFER)
    return torch.nan_to_num(stored.float(), nan=DEFAULT).clamp(0.0, 1.0)
