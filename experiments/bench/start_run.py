"""Run `raytl train FILE` and append the time of each phase's end to $START_MARKS; started by `experiments.bench.start`.

It imports nothing of its own tree but raytl, so that it measures the tree that PYTHONPATH names. Ray's workers import it by
its name, for the same reason.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any


def mark(name: str) -> None:
    """Append the time at which a phase ends."""
    with Path(os.environ["START_MARKS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, time.time()]) + "\n")


def marked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return `call` with a mark at its end."""

    @wraps(call)
    def timed(*given: Any, **named: Any) -> Any:
        result = call(*given, **named)
        mark(name)
        return result

    return timed


def train_worker(world: Any, job: Any, emit: Any) -> Any:
    """Do as `raytl.training.worker.train_worker`, with marks."""
    from raytl.data.loader import TrainLoader
    from raytl.events import EpochEnded, Step
    from raytl.training import steps, worker

    mark("workers")
    steps.EVENT_EVERY_S = 0.0  # type: ignore[misc]  # the first step is an event too
    real_epoch = TrainLoader.epoch

    def epoch(*given: Any, **named: Any) -> Any:
        for batch in real_epoch(*given, **named):
            mark("first batch")
            yield batch

    def mark_event(event: Any) -> None:
        if isinstance(event, Step):
            mark("first step")
        if isinstance(event, EpochEnded):
            mark("epochs")
        emit(event)

    TrainLoader.epoch = epoch  # type: ignore[method-assign]
    worker.prepare = marked("model", worker.prepare)
    return worker.train_worker(world, job, mark_event)


def main() -> None:
    """Train as the command line does; `driver` is imported here as its first act would."""
    from raytl.cli import main as command_line

    getattr(command_line, "defer_compiler", lambda: None)()
    from raytl.training import driver

    mark("imports")
    driver.plan = marked("plan", driver.plan)
    driver.train_worker = sys.modules["start_run"].train_worker
    command_line.main()


if __name__ == "__main__":
    import start_run  # type: ignore[import-not-found]  # the copy beside it, by the name that workers import

    start_run.main()
