"""The forward pass on a CPU, one batch per thread instead of all threads on one batch.

The last bits of a sum depend on the number of threads that compute it. One thread per batch gives the same bits on any
machine and any number of workers, and is at least as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from threading import Event, Lock
from typing import TypeVar

import torch
from torch import nn

from raytl.models.forward import BatchLike

T = TypeVar("T")


def computed(
    module: nn.Module, batches: Iterable[BatchLike], compute: Callable[[BatchLike], T], device: torch.device
) -> list[tuple[torch.Tensor, T]]:
    """Return the ids of each batch and what `compute` returns for it, in ascending order of the ids.

    One thread at a time advances `batches`. The module is on `device`; it runs in evaluation mode, and its mode is restored.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    training, shared = module.training, _Shared(batches)

    def infer(_: int) -> list[tuple[torch.Tensor, T]]:
        return [(batch.ids, compute(batch)) for batch in shared]

    module.eval()
    try:
        parts = [infer(0)] if threads == 1 else _in_threads(infer, threads, shared)
    finally:
        module.train(training)
    return sorted(chain.from_iterable(parts), key=lambda part: int(part[0][0]))


class _Shared:
    """An iterable that several threads share: each item goes to one of them, until it ends or is stopped.

    The constructor takes the first item in the caller's thread, because a loader forks its processes then: a process
    forked by a pool's thread fails at exit, where it joins the threads of that pool, including itself.
    """

    def __init__(self, items: Iterable[BatchLike]) -> None:
        rest, self._lock = iter(items), Lock()
        self._items = chain(list(islice(rest, 1)), rest)
        self.stopped = Event()

    def __iter__(self) -> Iterator[BatchLike]:
        while not self.stopped.is_set():
            with self._lock:
                item = next(self._items, None)
            if item is None:
                return
            yield item


def _in_threads(infer: Callable[[int], T], threads: int, shared: _Shared) -> list[T]:
    """Run `infer` in each thread and return the results; torch uses one thread per call meanwhile."""
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                return list(pool.map(infer, range(threads)))
            except BaseException:  # an error in one thread, or Ctrl-C: stop the others
                shared.stopped.set()
                raise
    finally:
        torch.set_num_threads(threads)
