"""The forward pass on a CPU, one batch per thread instead of all threads on one batch.

The last bits of a sum depend on the number of threads that compute it. One thread per batch gives the same bits on any
machine and any number of workers, and is at least as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from threading import Event, Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from raytl.data.transforms import Preprocess
from raytl.models.forward import BatchLike, predict_logits

_Part = tuple[NDArray[np.int64], NDArray[np.float32]]


def ordered_logits(
    module: nn.Module,
    batches: Iterable[BatchLike],
    preprocess: Preprocess,
    device: torch.device,
    precision: torch.dtype,
) -> _Part:
    """Return ids `(n,)` in ascending order and their logits `(n, classes) float32`; empty without batches.

    One thread at a time advances `batches`. The module is in evaluation mode, on `device`.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    shared = _Shared(batches)

    def infer(_: int) -> _Part:
        ids, logits, _targets = predict_logits(module, shared, preprocess, device, precision)
        return ids, logits

    parts = [infer(0)] if threads == 1 else _in_threads(infer, threads, shared)
    filled = [part for part in parts if len(part[0])] or parts[:1]  # the rows of an idle thread have no columns
    ids, logits = (np.concatenate(columns) for columns in zip(*filled, strict=True))
    order = np.argsort(ids, kind="stable")
    return ids[order], logits[order]


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


def _in_threads(infer: Callable[[int], _Part], threads: int, shared: _Shared) -> list[_Part]:
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
