"""What training leaves beside the tensors, as the types that it is read back into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from raytl.stored import Format
from raytl.stored.bounds import Classes, Count, Name, Score, at_most, within

_ADVICE = "Restore the file, or start over with --new (the old run is kept aside)."
Epochs = Annotated[int, within(0, 10**9)]
Confusion = dict[Literal["true", "predicted", "images"], list[Count]] | list[list[Count]]
"""A confusion matrix by its cells that are not zero, or all of its rows, as raytl 0.1.0 wrote it."""
Metrics = Annotated[dict[Name, Score], at_most(10_000, "metrics")]


@dataclass(frozen=True, slots=True)
class BestScore:
    """The best epoch, counted from 1: its metrics, and its confusion matrix with true classes in rows."""

    epoch: Epochs
    metrics: Metrics
    confusion: Confusion


@dataclass(frozen=True, slots=True)
class Summary:
    """What the manifest of a run says of its training."""

    best_epoch: Epochs
    epochs: Epochs
    metrics: Metrics


SCORE_FORMAT = Format[BestScore](BestScore, "the scores of the best epoch", _ADVICE, max_bytes=64 << 20)
SUMMARY_FORMAT = Format[Summary](Summary, "the summary of a run", _ADVICE)
CLASSES_FORMAT = Format[tuple[str, ...]](Classes, "the classes of a run", _ADVICE, max_bytes=8 << 20)
