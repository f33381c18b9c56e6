"""The images that int8 takes its ranges from: a sample of the training images that is always the same, all classes alike.

Validation judges the result and test is locked, so neither is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from raytl.bundle.client import Pixels, view_of
from raytl.data.bad_image import BadImage
from raytl.data.manifest import Sample, dataset_digest
from raytl.errors import DataError

IMAGES = 300
_SEED = 0
Decode = Callable[[str], Pixels]
"""Return the upright pixels `(height, width, 3) uint8` of the photo at a path.

Raises:
    BadImage: it cannot be read.
"""


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Inputs of a graph, made from `samples`, with the digest of these. Views are in memory, photos are decoded when read."""

    digest: str
    samples: tuple[Sample, ...]
    inputs: Sequence[Pixels]


def calibration_images(
    samples: Sequence[Sample], decode: Decode, view: Mapping[str, Any], *, is_photo: bool = False
) -> CalibrationImages:
    """Return the samples, which `drawn` chose, as the inputs of a graph.

    The inputs are views `(1, height, width, 3) uint8`, without those of photos that cannot be read; with `is_photo`, whole photos,
    where `decode` raises for such a one when it is read.

    Raises:
        DataError: no photo can be read.
    """
    if is_photo:
        return CalibrationImages(dataset_digest(samples), tuple(samples), _Photos(samples, decode))
    views = {sample.key: pixels for sample in samples if (pixels := _view(sample, decode, view)) is not None}
    if not views:
        raise DataError(
            f"calibration: none of {len(samples)} training images can be read; restore the images of the run"
        )
    readable = tuple(sample for sample in samples if sample.key in views)
    return CalibrationImages(dataset_digest(readable), readable, list(views.values()))


def drawn(samples: Sequence[Sample], weights: ArrayLike, count: int = IMAGES) -> tuple[Sample, ...]:
    """Return `count` samples without replacement in random order, each drawn in proportion to its weight.

    The first ones of them are such a sample too. Source: Efraimidis and Spirakis 2006, weighted random sampling.
    """
    keys = np.log(np.random.default_rng(_SEED).random(len(samples))) / np.asarray(weights, float)
    return tuple(samples[int(place)] for place in np.argsort(-keys, kind="stable")[:count])


class _Photos(Sequence[Pixels]):
    def __init__(self, samples: Sequence[Sample], decode: Decode) -> None:
        self._samples, self._decode = samples, decode

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return _Photos(self._samples[place], self._decode)
        return self._decode(self._samples[place].path)[None]


def _view(sample: Sample, decode: Decode, view: Mapping[str, Any]) -> Pixels | None:
    try:
        return view_of(decode(sample.path), view)[None]
    except BadImage:
        return None
