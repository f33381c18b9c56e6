"""The place of one worker among the workers of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from raytl.worker_status import WorkerStatus


@dataclass(frozen=True, slots=True)
class World:
    """One worker's rank in [0, size), its `local_rank` among the `local_size` workers of its node, and its status."""

    rank: int
    size: int
    local_rank: int
    local_size: int = 1
    status: WorkerStatus = field(default_factory=WorkerStatus, compare=False, repr=False)

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.size, f"rank {self.rank} outside a world of {self.size}"

    @classmethod
    def solo(cls) -> World:
        """Return the world of a single worker."""
        return cls(rank=0, size=1, local_rank=0)

    @property
    def is_main(self) -> bool:
        """True on rank 0, the only rank that writes files and reports progress."""
        return self.rank == 0
