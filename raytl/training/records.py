"""The stored records of training other than tensors, as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from raytl.stored import Format
from raytl.stored.bounds import Classes, Count, Name, Score, at_most, within

_ADVICE = "Restore the file, or start over with --new (the old run is renamed, not deleted)."
Epochs = Annotated[int, within(0, 10**9)]
Confusion = dict[Literal["true", "predicted", "images"], list[Count]] | list[list[Count]]
"""A confusion matrix as its nonzero cells, or as all rows, which raytl 0.1.0 wrote."""
Metrics = Annotated[dict[Name, Score], at_most(10_000, "metrics")]


@dataclass(frozen=True, slots=True)
class BestScore:
    """The best epoch, counted from 1: its metrics and its confusion matrix, with true classes in rows.

    `names` are those of the rows, if they are not the classes.
    """

    epoch: Epochs
    metrics: Metrics
    confusion: Confusion
    names: Classes | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of training in the manifest of a run."""

    best_epoch: Epochs
    epochs: Epochs
    metrics: Metrics


SCORE_FORMAT = Format[BestScore](BestScore, "the scores of the best epoch", _ADVICE, max_bytes=64 << 20)
SUMMARY_FORMAT = Format[Summary](Summary, "the summary of a run", _ADVICE)
CLASSES_FORMAT = Format[tuple[str, ...]](Classes, "the classes of a run", _ADVICE, max_bytes=8 << 20)
