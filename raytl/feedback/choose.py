"""Which images to label: uncertain ones that differ from each other and from what is labelled.

k-means++ seeding on the features, with uncertainty as the weight: each choice is drawn in proportion to uncertainty times the squared
distance to the nearest image that is chosen or known. It is the selection of BADGE (Ash et al. 2020) with the length and the
direction of its gradient embeddings kept apart, as records hold features and the highest probabilities only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats

_AT_ONCE = 4096


def chosen_rows(
    features: NDArray[np.float32],
    uncertainty: Floats,
    count: int,
    known: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> list[int]:
    """Return the rows of at most `count` of n images, in the order of choice.

    `features (n, d)` are scaled to length 1; d = 0 chooses by uncertainty alone. `uncertainty (n,)` is from 0 to 1, and rows of 0 are
    never chosen. `known (m, d)` are features of images that are labelled already.
    """
    assert len(features) == len(uncertainty) and (uncertainty >= 0).all(), "one uncertainty for each image"
    if not features.shape[1]:
        order: list[int] = np.argsort(-uncertainty, kind="stable").tolist()
        return [row for row in order[:count] if uncertainty[row] > 0]
    unit, rng = _normalized(features), np.random.default_rng(seed)
    distance = _to_known(unit, known)
    rows: list[int] = []
    while len(rows) < count:
        weights = uncertainty * distance
        if (total := float(weights.sum())) <= 0:
            break
        row = int(rng.choice(len(unit), p=weights / total))
        rows.append(row)
        distance = np.minimum(distance, _squared(unit, unit[row]))
        distance[row] = 0.0
    return rows


def uncertainty_of(margins: Sequence[float] | Floats) -> Floats:
    """Return the uncertainty of answers with these differences of their two highest probabilities, `(n,)`, from 0 to 1."""
    return np.asarray((1.0 - np.clip(np.asarray(margins, np.float64), 0, 1)) ** 2)


def _to_known(unit: NDArray[np.float32], known: NDArray[np.float32] | None) -> Floats:
    """Return the squared distance of each row to the nearest known image; 1 without any."""
    if known is None or not len(known):
        return np.ones(len(unit))
    base = _normalized(known)
    parts = [
        (unit[start : start + _AT_ONCE] @ base.T).max(axis=1).astype(np.float64)
        for start in range(0, len(unit), _AT_ONCE)
    ]
    return np.asarray(np.maximum(0.0, 2 - 2 * np.concatenate(parts)))


def _squared(unit: NDArray[np.float32], row: NDArray[np.float32]) -> Floats:
    return np.asarray(np.maximum(0.0, 2 - 2 * (unit @ row).astype(np.float64)))


def _normalized(features: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), np.float32)
