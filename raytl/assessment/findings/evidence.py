"""The evidence of a task with findings, and the sections that are computed from it.

Sections of both kinds of evidence share their names, options and results (`raytl.assessment.section`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.section import column_of
from raytl.config.schema import ColumnRole
from raytl.data.group_split import unless_one
from raytl.data.manifest import Sample
from raytl.evaluation.robustness import ScoreRobustness
from raytl.metrics.findings import Findings
from raytl.tasks.findings import FindingKind


@dataclass(frozen=True, eq=False)
class SplitFindings:
    """The n images of a split: `samples`, the `findings` in them, and as in `SplitEvidence` their `features (n, d)`,
    `thumbnails (n, 32, 32, 3)` and `properties (n, 7)`, which have no columns for a large split."""

    samples: Sequence[Sample]
    findings: Findings
    features: NDArray[np.float16]
    thumbnails: NDArray[np.uint8]
    properties: NDArray[np.float32]
    groups: NDArray[np.int64] | None = None
    """The group of each image, `(n,)`; None if images are independent."""

    def __len__(self) -> int:
        return len(self.samples)

    def units(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what counts once in a promise for each of `images (m,)`: its group, or the image itself."""
        return images if self.groups is None else self.groups[images]

    @property
    def sampling_groups(self) -> NDArray[np.int64] | None:
        """The group of each image, `(n,)`, for intervals and tests; None if images are independent, or all of one group."""
        return unless_one(self.groups)

    def sampling_units(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what is independent for each of `images (m,)`: its group, or the image itself."""
        return images if self.sampling_groups is None else self.sampling_groups[images]

    @property
    def unit_names(self) -> tuple[str, str]:
        """The names of what is independent, one and several of them on test, for sentences."""
        return ("image", "test images") if self.sampling_groups is None else ("group", "groups of test images")

    def column(self, name: str) -> list[str]:
        """Return the value of each image in a column of the manifest; empty where it has none."""
        return column_of(self.samples, name)


@dataclass(frozen=True, eq=False)
class FindingEvidence:
    """Evidence of a task with findings, which `kind` describes; as in `Evidence`, `train` may be None."""

    classes: tuple[str, ...]
    kind: FindingKind
    val: SplitFindings
    test: SplitFindings
    train: SplitFindings | None = None
    robustness: ScoreRobustness | None = None
    """The scores of corrupted validation photos; None if no section needs them."""
    columns: Mapping[str, ColumnRole] = field(default_factory=dict)
