"""Replicates: the best trials trained again with other seeds, without a scheduler, and a journal of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from raytl.run import journal
from raytl.search.protocol import Suggestion, TrialResult
from raytl.stored import Format
from raytl.stored.bounds import Count, within


@dataclass(frozen=True, slots=True)
class Replica:
    """The end of a replicate: its score, or the reason why it has none."""

    number: Count
    seed: int | None
    score: float | None
    reason: str = ""
    seconds: Annotated[float, within(0, 1e9)] = 0.0


REPLICA_FORMAT = Format[Replica](
    Replica, "the result of a replicate", "The file was damaged or edited: delete this line to train it again."
)


@dataclass
class Replicas:
    """Replicates and the journal of those that ended, by `(number, seed)`; `remaining` are those to train.

    With `retry`, failed ones are trained again when the sweep resumes: no other score of their trials can be compared.
    """

    suggestions: Sequence[Suggestion]
    path: Path
    retry: bool = False
    remaining: list[Suggestion] = field(init=False)

    def __post_init__(self) -> None:
        ended = {key for key, score in self.scores().items() if score is not None or not self.retry}
        self.remaining = [each for each in self.suggestions if (each.number, each.seed) not in ended]

    def tell(self, suggestion: Suggestion, best: float | None, result: TrialResult) -> None:
        """Record that a replicate ended with the score `best` (None: it failed)."""
        record = {"number": suggestion.number, "seed": suggestion.seed, "score": best}
        journal.append(self.path, record | {"reason": result.reason, "seconds": result.seconds})

    def scores(self) -> dict[tuple[int, int | None], float | None]:
        """Return the score of each replicate that ended, None for a failed one."""
        wanted = {(each.number, each.seed) for each in self.suggestions}
        records = {(each.number, each.seed): each.score for each in journal.read(self.path, REPLICA_FORMAT)}
        return {key: score for key, score in records.items() if key in wanted}
