"""One run of `raytl train` on a cluster, monitored from outside during injected faults."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from raytl.run import journal
from raytl.run.folder import RunFolder
from tests.faults.ray_nodes import RayNodes, until

STEPS = 16
Position = tuple[int, int]
"""The epoch (one-based) and its completed steps."""


@dataclass(frozen=True)
class Round:
    """A fault and its outcome: the stored position, the resumed position (None if training never stopped), and the seconds
    until the next checkpoint."""

    kind: str
    number: int
    stored: Position
    resumed: Position | None
    seconds: float

    def write(self, path: Path) -> None:
        """Append the round to the log."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(asdict(self)) + "\n")


@dataclass
class Run:
    """The command, restarted until it finishes."""

    nodes: RayNodes
    experiment: Path
    folder: RunFolder
    overrides: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the command, as the user would."""
        words = [f"--set={text}" for text in (f"compute.cluster={self.nodes.address}", *self.overrides)]
        command = [sys.executable, "-m", "raytl", "train", str(self.experiment), *words]
        self.process = self.nodes.on(0, *command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                self.lines.append(line.decode(errors="replace").rstrip())

    @property
    def ended(self) -> bool:
        """Return True if the command is not running."""
        return self.process is None or self.process.poll() is not None

    @property
    def finished(self) -> bool:
        """Return True if the run is complete."""
        return self.folder.manifest.exists()

    def stored(self) -> Position:
        """Return the position of the last checkpoint."""
        for _ in range(50):  # it may be replaced during the read
            try:
                progress = json.loads((self.folder.last / "state.json").read_bytes())["progress"]
                return progress["epoch"] + 1, progress["step"]
            except (OSError, ValueError):
                threading.Event().wait(0.02)
        return 1, 0

    def resumptions(self) -> list[Position]:
        """Return the positions from which training resumed."""
        pattern = re.compile(r"resuming from the last checkpoint: epoch (\d+)(?:, step (\d+))?")
        matches = [pattern.search(line) for line in list(self.lines)]
        return [(int(m[1]), int(m[2]) - 1 if m[2] else 0) for m in matches if m]

    def moves_on(self, after: Position, seconds: float = 300) -> bool:
        """Wait for a checkpoint beyond `after`, or the end of the run; restart the command if it exited."""

        def on() -> bool:
            self.again()
            return self.finished or self.stored() > after

        until(on, f"more than {after} stored; said: {self.lines[-8:]}", seconds)
        return True

    def again(self) -> None:
        """Restart the command if it exited before the run was complete, on its two nodes."""
        self.nodes.keep(1, 2)
        if self.ended and not self.finished:
            self.start()

    def went_on(self, resumptions: int) -> bool:
        """Return True once training resumed more than `resumptions` times, or is done."""
        self.again()
        return self.finished or len(self.resumptions()) > resumptions

    def kill(self) -> None:
        """Kill the command with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def end(self, seconds: float = 300) -> None:
        """Wait for the end of the run and of the command, which is restarted if it was killed."""
        self.moves_on((10**6, 0), seconds)
        if self.process is None:
            self.start()
        assert self.process is not None
        assert self.process.wait(60) == 0, self.lines[-8:]

    def close(self) -> None:
        """Stop the command if it still runs."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


def outcome(folder: RunFolder) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Return the run's metrics without durations, and its best weights."""
    keys = ("epoch", "stage", "best", "train/loss", "val/accuracy", "val/balanced_accuracy", "val/log_loss")
    rows = [{key: record[key] for key in keys} for record in journal.read(folder.metrics)]
    return rows, load_file(folder.best / "model.safetensors")


def waited(seconds: float) -> None:
    """Wait for so many seconds."""
    threading.Event().wait(seconds)


def clock() -> float:
    """Return a monotonic time in seconds."""
    return time.monotonic()
