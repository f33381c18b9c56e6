"""The pixels of class maps in a report: how confident and how right they are, near boundaries and inside, and where confident
answers contradict the annotation. Images are the units: pixels of one image are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics import segmentation
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import counts_of, ratio
from raytl.metrics.regions import contradictions
from raytl.metrics.scores import ECE_BINS, confidence_bin
from raytl.metrics.segmentation import VOID, ClassMap, Facts

SURE = 0.9
"""The confidence from which an answer can contradict an annotation."""
MAX_SUSPECTS = 3
"""Contradictions of an image that are kept, the largest."""
SUSPECT = ("given", "suggested", "area", "confidence", "x_min", "y_min", "x_max", "y_max")
"""The columns of a suspect: two classes, the fraction of the map's area, the mean confidence, and a box in pixels."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels of n images.

    `bins (n, 15, 3)` have their number, the right ones and the summed confidence by bin of confidence. `edges (n, 4)` are the pixels
    near a true boundary, the wrong ones of them, all others, and the wrong ones of them. `counts (n, 3, classes)` are hits, calls
    and support as in a confusion matrix. `suspects (n, 3, 8)` have the columns `SUSPECT`; those without area are none. Their boxes are in
    pixels of the photo.
    """

    bins: Floats
    edges: Ints
    counts: Ints
    suspects: NDArray[np.float32]


def binned_pixels(truth: ClassMap, predicted: ClassMap, confidence: NDArray[np.floating]) -> Floats:
    """Return the `bins (15, 3)` of one image; all arrays are `(h, w)`."""
    is_valid = truth != VOID
    sure, correct = confidence[is_valid].astype(np.float64), (truth == predicted)[is_valid]
    places = confidence_bin(sure)
    return np.stack([np.bincount(places, each, ECE_BINS) for each in (np.ones(len(sure)), correct, sure)], axis=1)


def suspects(truth: ClassMap, predicted: ClassMap, confidence: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the `suspects (3, 8)` of one image, with boxes in its pixels; all arrays are `(h, w)`."""
    result = np.zeros((MAX_SUSPECTS, len(SUSPECT)), np.float32)
    answered, given = contradictions(truth, predicted, confidence, SURE)
    table = np.column_stack([given, answered.label, answered.area / truth.size, answered.confidence, answered.boxes])[
        :MAX_SUSPECTS
    ]
    result[: len(table)] = table
    return result


def measure(pixels: Pixels, draws: Ints) -> dict[str, Floats]:
    """Return scores over each row of draws `(r, m)` of the images, `(r,)`: `pixel_accuracy`, `miou`, the fraction of wrong pixels
    near boundaries (`near`) and elsewhere (`far`), the fraction of all wrong pixels that are near boundaries (`near_part`), and the
    `iou` of each class, `(r, classes)`."""
    nothing = np.zeros_like(pixels.counts[:, 0])
    hits, calls, support = (pixels.counts[:, kind] for kind in range(3))
    facts = Facts(hits, calls, support, nothing, nothing, nothing, nothing)
    near, near_wrong, far, far_wrong = (counts_of(draws, len(pixels.edges)).T.astype(np.float64) @ pixels.edges).T
    return {
        "near": ratio(near_wrong, near),
        "far": ratio(far_wrong, far),
        "near_part": ratio(near_wrong, near_wrong + far_wrong),
        **segmentation.measure(facts, draws, ("pixel_accuracy", "miou", "iou")),
    }
