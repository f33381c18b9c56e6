"""Who am I among the workers of a run, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class World:
    """One worker's place: `rank` in [0, size), `local_rank` its number among the `local_size` of its node."""

    rank: int
    size: int
    local_rank: int
    local_size: int = 1

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.size, f"rank {self.rank} outside a world of {self.size}"

    @classmethod
    def solo(cls) -> World:
        """The world of a single worker."""
        return cls(rank=0, size=1, local_rank=0)

    @property
    def is_main(self) -> bool:
        """True on the one rank that writes files and speaks."""
        return self.rank == 0
