"""The contract of a task whose answers are any number of findings in an image, for `raytl report`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.metrics.findings import Findings

if TYPE_CHECKING:
    from raytl.tasks.task import Rows, Task

Detailed = Callable[
    [nn.Module, Tensor, Sequence[tuple[int, int]], Preprocess, Sequence[Any], bool], "tuple[list[Any], Rows]"
]
"""From a network, its inputs, the sizes of the images, the preprocessing and the truths: the answers of `Task.predict`, and rows
that `FindingKind.findings` needs beside those of `Task.evidence`, from one forward pass. If the last argument (`brief`) is True, they
are those of `raytl.metrics.findings.image_sums` alone. Validation asks for neither."""


@dataclass(frozen=True)
class FindingKind:
    """The findings of a task, and its words for them.

    `findings(truths, rows, classes)` returns the findings of a split as the network answered it; `evaluate` stores them, so
    that a report reads no test image. `unit` is a finding ("detection"), `wanted` a thing to find ("object"); `score` is the
    score of an image ("F1"). All are singular. `pipeline` is the Hugging Face Hub's name for such models. With `has_places`,
    findings lie somewhere in the image, so a corruption that moves pixels does not apply; without, a class is found at most once in an
    image. `detailed` are more rows, if findings need them. `unknown(samples, classes)` returns where it is not known whether an image has
    a class, `(n, k)`; None if annotations say all.
    """

    findings: Callable[[Sequence[Any], Rows, Sequence[str]], Findings]
    unit: str
    wanted: str
    score: str
    pipeline: str
    has_places: bool = True
    detailed: Detailed | None = None
    unknown: Callable[[Sequence[Sample], Sequence[str]], NDArray[np.bool_]] | None = None

    @property
    def has_pixels(self) -> bool:
        """True if findings are regions of class maps, whose pixels are stored too."""
        return self.detailed is not None


def finding_kind(task: Task) -> FindingKind | None:
    """Return the findings of `task`; None if it decides one class for each image, or has no report."""
    return getattr(task, "findings", None)
