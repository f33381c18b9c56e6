"""Choose which images get a label from a table of probabilities: the most certain ones of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raytl.metrics.confusion import Floats, Ints


@dataclass(frozen=True)
class GivenLabels:
    """The rows of images that get a label, in order, with their classes and probabilities, `(m,)` each."""

    rows: Ints
    classes: Ints
    confidence: Floats

    def __len__(self) -> int:
        return len(self.rows)


def confident(probabilities: Floats, fraction: float, least: float = 0.0) -> GivenLabels:
    """Return the labels of the fraction `fraction` of the images of each predicted class that have the highest probabilities,
    of those that reach `least`. So each class has a threshold of its own (class-balanced self-training, Zou et al. 2018).

    `probabilities (n, classes)`. A class has at least one image, if any was predicted as it.
    """
    classes, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    is_chosen = np.zeros(len(classes), np.bool_)
    for name in np.unique(classes):
        own = np.flatnonzero(classes == name)
        best = own[np.argsort(-confidence[own], kind="stable")]
        is_chosen[best[: int(np.ceil(fraction * len(own)))]] = True
    rows = np.flatnonzero(is_chosen & (confidence >= least))
    return GivenLabels(rows, classes[rows], confidence[rows])
