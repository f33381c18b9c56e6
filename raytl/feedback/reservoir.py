"""The answers of one window that are kept: a uniform sample (algorithm R: Vitter 1985), and the uncertain and unfamiliar ones.

An item of the uniform sample was kept with the same probability as any other of its window, whatever it shows, so that
weights of one over that probability estimate all answers without bias.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from raytl.feedback.record import Why

T = TypeVar("T")


@dataclass
class Reservoir(Generic[T]):
    """A uniform sample of at most `size` of the items offered so far."""

    size: int
    rng: random.Random
    seen: int = 0
    items: list[T] = field(default_factory=list)

    def offer(self, item: T) -> T | None:
        """Consider one more item; return the item that is not retained, if there is one."""
        self.seen += 1
        if len(self.items) < self.size:
            self.items.append(item)
            return None
        place = self.rng.randrange(self.seen)
        if place >= self.size:
            return item
        self.items[place], evicted = item, self.items[place]
        return evicted

    @property
    def inclusion(self) -> float:
        """The probability with which each item offered is in the sample."""
        return min(1.0, self.size / self.seen) if self.seen else 1.0


@dataclass
class Lowest(Generic[T]):
    """The `size` items with the lowest scores."""

    size: int
    heap: list[tuple[float, int, T]] = field(default_factory=list)
    offered: int = 0

    def offer(self, score: float, item: T) -> T | None:
        """Consider one more item; return the item that is not retained, if there is one."""
        self.offered += 1
        entry = (-score, self.offered, item)
        if len(self.heap) < self.size:
            heapq.heappush(self.heap, entry)
            return None
        return heapq.heappushpop(self.heap, entry)[2] if self.size else item

    @property
    def items(self) -> list[T]:
        """The retained items, the lowest score first."""
        return [item for _, _, item in sorted(self.heap, reverse=True)]


@dataclass(frozen=True)
class _Candidate(Generic[T]):
    item: T
    margin: float
    is_unfamiliar: bool


class Window(Generic[T]):
    """The items of one window, each kept for one reason; those that the uniform sample drops may be kept for another."""

    def __init__(self, start: str, random_images: int, uncertain: int, unfamiliar: int, rng: random.Random) -> None:
        self.start = start
        self._sample = Reservoir[_Candidate[T]](random_images, rng)
        self._uncertain, self._unfamiliar = Lowest[T](uncertain), Reservoir[T](unfamiliar, rng)

    def offer(self, item: T, margin: float, is_unfamiliar: bool) -> None:
        """Consider an item; `margin` is small if its answer is uncertain."""
        dropped = self._sample.offer(_Candidate(item, margin, is_unfamiliar))
        if dropped is None:
            return
        if dropped.is_unfamiliar:
            self._unfamiliar.offer(dropped.item)
        else:
            self._uncertain.offer(dropped.margin, dropped.item)

    @property
    def seen(self) -> int:
        """The number of items offered."""
        return self._sample.seen

    @property
    def inclusion(self) -> float:
        """The probability with which each item was kept for the uniform sample."""
        return self._sample.inclusion

    def retained(self) -> Iterator[tuple[Why, T]]:
        """Yield each retained item with the reason."""
        yield from (("random", each.item) for each in self._sample.items)
        yield from (("unfamiliar", item) for item in self._unfamiliar.items)
        yield from (("uncertain", item) for item in self._uncertain.items)
