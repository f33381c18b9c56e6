"""The outcome of every image of an evaluated split, kept beside the report for paired tests between runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample
from raytl.stored import Format
from raytl.stored.bounds import Name, within

OUTCOMES = "outcomes.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image: its true and its predicted class, and the probability of the predicted one."""

    key: Name
    true: Name
    predicted: Name
    probability: Annotated[float, within(0, 1.000001)]


OUTCOME_FORMAT = Format[Outcome](
    Outcome, "the outcome of an image", "Restore the file, or delete it to go without paired tests.", max_bytes=1 << 18
)


def encoded(samples: Sequence[Sample], classes: Sequence[str], probabilities: NDArray[np.float64]) -> bytes:
    """Return one JSON line per image, from `probabilities (n, classes)` in the order of `samples`."""
    best = probabilities.argmax(axis=1)
    rows = (
        Outcome(sample.key, sample.label, classes[place], round(float(row[place]), 6))
        for sample, place, row in zip(samples, best, probabilities, strict=True)
    )
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode()
