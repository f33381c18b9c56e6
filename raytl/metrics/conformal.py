"""Sets of classes that hold the true one with a stated probability, calibrated on validation (split conformal prediction).

LAC (Sadinle et al. 2019) scores a class by one minus its probability: the smallest sets. APS (Romano et al. 2020, not
randomized) adds up the probabilities from the highest to the one before the class: sets that adapt to hard images. Both hold for exchangeable images, whatever the
model.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats

Scores = Callable[[Floats], Floats]
"""From probabilities `(n, k)` to the nonconformity of each class, `(n, k)`; low is plausible."""


def lac(probabilities: Floats) -> Floats:
    """Return one minus the probability of each class, `(n, k)`."""
    return 1 - probabilities


def aps(probabilities: Floats) -> Floats:
    """Return the sum of the probabilities higher than that of each class, `(n, k)`; ties go to the lower class.

    That of the most probable class is 0, so no set is empty. A sum with the class itself would empty the sets of the most
    certain images.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    result = np.empty_like(sums)
    np.put_along_axis(result, order, np.pad(sums[:, :-1], ((0, 0), (1, 0))), axis=1)
    return result


def min_images(alpha: float) -> int:
    """Return the smallest number of calibration images with which a set can leave a class out."""
    return math.ceil(1 / alpha - 1e-9) - 1


def set_cut(scores: Floats, alpha: float) -> float:
    """Return the score up to which a class belongs to the set, from the true classes' `scores (n,)`; infinite if n is too small."""
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def marginal_cuts(scores: Floats, targets: NDArray[np.int64], alpha: float) -> Floats:
    """Return one cut for all classes, `(k,)`, from the `scores (n, k)` of calibration images: the true class is in the sets of
    at least 1 - `alpha` of all images."""
    own = scores[np.arange(len(targets)), targets]
    return np.full(scores.shape[1], set_cut(own, alpha))


def class_cuts(scores: Floats, targets: NDArray[np.int64], alpha: float) -> Floats:
    """Return a cut for each class, `(k,)`: the true class is in the sets of at least 1 - `alpha` of the images of each class
    (Vovk 2012)."""
    own = scores[np.arange(len(targets)), targets]
    return np.array([set_cut(own[targets == c], alpha) for c in range(scores.shape[1])])


def sets(scores: Floats, cuts: Floats) -> NDArray[np.bool_]:
    """Return whether each class is in the set of each image, `(n, k)`."""
    return np.asarray(scores <= cuts)
