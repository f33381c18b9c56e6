"""`raytl.compress`: smaller and faster variants of a trained model, as a value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raytl.api.run import machine_of
from raytl.cli.watch import watched
from raytl.config.machine import Machine
from raytl.events import OnEvent

if TYPE_CHECKING:
    from raytl.exporting.compress.outcome import Compression


def compress(
    run: str | os.PathLike[str],
    *,
    target_ms: float | None = None,
    max_drop: float = 0.5,
    threads: int = 1,
    methods: Sequence[str] = (),
    teachers: Sequence[str | os.PathLike[str]] = (),
    student: str | None = None,
    unlabelled: str | None = None,
    epochs: int | None = None,
    prune_fractions: Sequence[float] = (),
    out: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Compression:
    """Search for a smaller and faster variant of a trained model, and keep the best one as the bundle `out`.

    A candidate is kept if validation excludes a loss of more than `max_drop` points and it is faster on this machine than ONNX
    Runtime in fp32. The best is the most accurate of those whose call with one photo takes at most `target_ms` on `threads`
    threads; without a target, the fastest. `best` of the result is None if there is none. `methods` are names of candidates;
    by default all that train nothing. `distill` trains `student` (NAME=WEIGHTS; by default the run's own network, which
    continues) on the answers of `teachers` (by default the run), with the photos at `unlabelled`, for `epochs`. `prune` removes each
    of `prune_fractions` (by default 0.3) of the channels of each layer, and retrains the network in the same way.
    A second call resumes an interrupted search, and repeats nothing that is done.

    Raises:
        RunError, ModelError: there is no finished run, or its network cannot be exported.
        DataError: images of training or validation changed or are missing.
        UserError: an unknown method, or options that cannot take effect.
    """
    from raytl.exporting.compress import driver

    with watched(progress, on_event) as emit:
        return driver.compress(
            os.fspath(run),
            target_ms=target_ms,
            max_drop=max_drop,
            threads=threads,
            methods=tuple(methods),
            teachers=tuple(os.fspath(each) for each in teachers),
            student=student,
            unlabelled=unlabelled,
            epochs=epochs,
            prune_fractions=tuple(prune_fractions),
            out=out,
            machine=machine or machine_of(run),
            on_event=emit,
        )
