"""Choose the images to label: uncertain ones that differ from each other and from what is labelled.

Of the most uncertain images, three for each to choose, k-means++ seeding on the features chooses: each is drawn in proportion to its
uncertainty times the squared distance to the nearest image that is chosen or labelled. To cut by the margin first and then
choose by distance is Cluster-Margin (Citovsky et al. 2021); the seeding is that of BADGE (Ash et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats

_AT_ONCE = 4096
_FOR_EACH = 3


def ranked_rows(
    features: NDArray[np.float32],
    uncertainty: Floats,
    count: int,
    labelled: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> list[int]:
    """Return the rows of n images: first the `count` to label, and after them the others, the most uncertain first, as substitutes.

    `features (n, d)` are scaled to length 1; d = 0 ranks by uncertainty alone. `uncertainty (n,)` is from 0 to 1, and rows of 0 are left
    out. `labelled (m, d)` are features of images that are labelled already.
    """
    assert len(features) == len(uncertainty) and (uncertainty >= 0).all(), "one uncertainty for each image"
    order: list[int] = [row for row in np.argsort(-uncertainty, kind="stable").tolist() if uncertainty[row] > 0]
    if not features.shape[1]:
        return order
    pool = np.array(order[: _FOR_EACH * count], np.int64)
    base = None if labelled is None or not len(labelled) else _normalized(labelled)
    drawn = _seeds(_normalized(features[pool]), uncertainty[pool], count, base, np.random.default_rng(seed))
    chosen: list[int] = pool[drawn].tolist() if drawn else []
    first = set(chosen)
    return chosen + [row for row in order if row not in first]


def _seeds(
    unit: NDArray[np.float32],
    uncertainty: Floats,
    count: int,
    base: NDArray[np.float32] | None,
    rng: np.random.Generator,
) -> list[int]:
    """Return the rows that k-means++ seeding draws, far from the rows of `base` and from each other."""
    distance = _to_nearest(unit, base)
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
    return np.asarray(1.0 - np.clip(np.asarray(margins, np.float64), 0, 1))


def _to_nearest(unit: NDArray[np.float32], base: NDArray[np.float32] | None) -> Floats:
    """Return the squared distance of each row to the nearest one of `base`; 1 without any."""
    if base is None:
        return np.ones(len(unit))
    parts = [(unit[start : start + _AT_ONCE] @ base.T).max(axis=1) for start in range(0, len(unit), _AT_ONCE)]
    return np.asarray(np.maximum(0.0, 2 - 2 * np.concatenate(parts).astype(np.float64)))


def _squared(unit: NDArray[np.float32], row: NDArray[np.float32]) -> Floats:
    return np.asarray(np.maximum(0.0, 2 - 2 * (unit @ row).astype(np.float64)))


def _normalized(features: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), np.float32)
