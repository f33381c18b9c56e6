"""The forward pass on a CPU in lanes: each core computes whole batches alone, instead of all cores one batch together.

Sums differ in their last bits with the number of threads that share them. A batch computed by one thread gives the
same bits on any machine size and any number of workers, and lanes are at least as fast as shared batches.
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
    """Ids `(n,)` in rising order and their logits `(n, classes) float32`; empty where there are no batches.

    `batches` is advanced by one thread at a time. The module is in evaluation mode, on `device`.
    """
    lanes = torch.get_num_threads() if device.type == "cpu" else 1
    shared = _Shared(batches)

    def lane(_: int) -> _Part:
        ids, logits, _targets = predict_logits(module, shared, preprocess, device, precision)
        return ids, logits

    parts = [lane(0)] if lanes == 1 else _side_by_side(lane, lanes, shared)
    filled = [part for part in parts if len(part[0])] or parts[:1]  # an idle lane does not know the classes
    ids, logits = (np.concatenate(columns) for columns in zip(*filled, strict=True))
    order = np.argsort(ids, kind="stable")
    return ids[order], logits[order]


class _Shared:
    """An iterable that several threads take from, each item going to one of them, until it ends or is stopped.

    The first item is taken here, by the caller's thread: a loader forks its processes then, and one that is forked by a
    pool's thread ends with an error, as it joins that pool's threads, of which it is one itself.
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


def _side_by_side(lane: Callable[[int], _Part], lanes: int, shared: _Shared) -> list[_Part]:
    """What the lanes return; torch uses one thread in each meanwhile."""
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                return list(pool.map(lane, range(lanes)))
            except BaseException:  # an error of one lane, or Ctrl-C: the others must not go on to the end
                shared.stopped.set()
                raise
    finally:
        torch.set_num_threads(lanes)
