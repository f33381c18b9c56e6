"""The best trials run again with other seeds: the same loop, no scheduler, a journal of what was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from raytl.run import journal
from raytl.search.trial import Task
from raytl.stored import Format
from raytl.stored.bounds import Count, within


@dataclass(frozen=True, slots=True)
class Replica:
    """How a task ended: its score, or the reason why it has none."""

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
    """Tasks that are asked once each, and their scores; `(number, seed)` names one. Nothing in the journal is run again."""

    tasks: Sequence[Task]
    path: Path
    metric: str
    _open: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        told = set(self.scores())
        self._open = [task for task in self.tasks if (task.number, task.seed) not in told]

    @property
    def left(self) -> int:
        """Tasks that were not asked yet."""
        return len(self._open)

    def ask(self) -> Task | None:
        """The next task; None when all were asked."""
        return self._open.pop(0) if self._open else None

    def tell(self, task: Task, best: float | None, result: Mapping[str, Any]) -> None:
        """Note that `task` ended with the score `best` (None: it failed)."""
        record = {"number": task.number, "seed": task.seed, "score": best, "reason": result.get("failed", "")}
        journal.append(self.path, record | {"seconds": result.get("seconds", 0.0)})

    def scores(self) -> dict[tuple[int, int | None], float | None]:
        """The score of each task that ended, None where it failed."""
        wanted = {(task.number, task.seed) for task in self.tasks}
        records = {(each.number, each.seed): each.score for each in journal.read(self.path, REPLICA_FORMAT)}
        return {key: score for key, score in records.items() if key in wanted}

    def seconds(self) -> float:
        """What they took in training, together."""
        return sum(record.seconds for record in journal.read(self.path, REPLICA_FORMAT))
