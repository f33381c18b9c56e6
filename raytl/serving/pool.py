"""Photos wait in a bounded queue for a few threads; what does not fit is refused at once, with the time to wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from raytl.serving.refusal import Refusal, busy

T = TypeVar("T")
_WEIGHT = 0.1
MAX_RETRY_S = 60


class PhotoPool:
    """A few threads and a bounded queue in front of them; used from one event loop."""

    def __init__(self, workers: int, queue: int) -> None:
        self.workers, self.queue = workers, queue
        self.pending = 0
        self.mean_s = 0.0
        self._threads = ThreadPoolExecutor(workers, "photos")

    @property
    def waiting(self) -> int:
        """The photos in the queue."""
        return max(0, self.pending - self.workers)

    def check(self, count: int = 1) -> None:
        """Check that `count` photos fit.

        Raises:
            Refusal: 413, they never fit; 503 with the seconds after which to retry.
        """
        if count > (limit := self.workers + self.queue):
            raise Refusal(
                413, f"{count} photos at once; expected {limit} at most, which this server computes and queues"
            )
        if self.pending + count > limit:
            raise busy(retry_after_s(self.pending, self.workers, self.mean_s), "the queue is full; retry later")

    async def map(self, work: Callable[[T], object], items: Sequence[T]) -> list[object]:
        """Return the result of `work` for each item, in order.

        Raises:
            Refusal: as `check`, before any of them begins; or what `work` raises, after all have ended.
        """
        self.check(len(items))
        self.pending += len(items)
        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(self._threads, work, item) for item in items]
        for future in futures:
            future.add_done_callback(self._finished)
        await asyncio.wait(futures)
        return [future.result() for future in futures]

    def observe(self, seconds: float) -> None:
        """Learn how long a photo takes."""
        self.mean_s = seconds if not self.mean_s else (1 - _WEIGHT) * self.mean_s + _WEIGHT * seconds

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _finished(self, _: object) -> None:
        self.pending -= 1


def retry_after_s(pending: int, workers: int, mean_s: float) -> int:
    """Return the seconds until the photos before have probably been computed, from 1 to 60."""
    return min(MAX_RETRY_S, max(1, math.ceil(pending * mean_s / max(1, workers))))
