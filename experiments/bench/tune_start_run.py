"""Run `raytl tune FILE` and append the time of each event to $START_MARKS; started by `experiments.bench.tune_start`.

It imports nothing of its own tree but raytl's command line, so that it measures the tree that PYTHONPATH names.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def mark(name: str) -> None:
    """Append the time and this process's processor seconds at which a phase ends."""
    with Path(os.environ["START_MARKS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, time.time(), time.process_time()]) + "\n")


def hear(event: Any) -> None:
    """Mark what an event ends."""
    kind, text = type(event).__name__, getattr(event, "text", "")
    mark("first event")
    if kind == "Message" and text.startswith("solving the linear probe"):
        mark("planned")
    if kind == "Message" and text.startswith("linear probe:"):
        mark("head")
    if kind == "TrialChanged":
        mark("first trial")
        mark("scored" if event.value is not None else "trials")
    if kind == "Message" and " wins: " in text:
        mark("trials")


def main() -> None:
    """Search as the command line does."""
    from raytl.cli import main as command_line
    from raytl.cli import tune as verb

    watching = verb.watching_sweep

    @contextlib.contextmanager
    def marked(console: Any) -> Iterator[Any]:
        with watching(console) as emit:

            def both(event: Any) -> None:
                hear(event)
                emit(event)

            yield both

    verb.watching_sweep = marked
    mark("command line")
    command_line.main()


if __name__ == "__main__":
    main()
