"""Groups of images that one classifier must not both learn and judge: those of a group of the data, and copies of one photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import Experiment
from raytl.data.bit_depth import BitDepth
from raytl.data.group_split import group_columns, joined, kept_together
from raytl.data.manifest import Sample
from raytl.data.perceptual_hash import copies, phashes
from raytl.events import OnEvent
from raytl.store.s3_settings import S3Settings
from raytl.uris import in_bucket


def photo_groups(
    experiment: Experiment, samples: Sequence[Sample], depth: BitDepth, on_event: OnEvent
) -> NDArray[np.int64]:
    """Return the group of each image, `(n,)`: those of a group of the data and copies of one photo are together."""
    groups = kept_together(samples, group_columns(experiment.data.columns))
    if any(in_bucket(sample.path) for sample in samples):
        return groups  # each would be downloaded once more
    s3 = S3Settings.of(experiment.storage)
    hashes = phashes(samples, experiment.data.max_pixels, depth, on_event, s3, experiment.model.channels)
    return joined(groups, copies([hashes.get(sample.digest) for sample in samples]))
