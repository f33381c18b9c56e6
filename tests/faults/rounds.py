"""One run of `raytl train` on a cluster, watched from outside while faults come upon it."""

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
"""Epoch (one-based) and steps of it that are done."""


@dataclass(frozen=True)
class Round:
    """A fault and what came of it: where training stood, where it went on (None where it never stopped), and how long
    it was until more was stored than before."""

    kind: str
    number: int
    stored: Position
    resumed: Position | None
    seconds: float

    def write(self, path: Path) -> None:
        """Add the round to the log of all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(asdict(self)) + "\n")


@dataclass
class Run:
    """The command, run and run again until it ends."""

    nodes: RayNodes
    experiment: Path
    folder: RunFolder
    overrides: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Give the command, as the user would again."""
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
        """True when the command is not running."""
        return self.process is None or self.process.poll() is not None

    @property
    def finished(self) -> bool:
        """True when the run is whole."""
        return self.folder.manifest.exists()

    def stored(self) -> Position:
        """What the last checkpoint holds."""
        for _ in range(50):  # it may be replaced while it is read
            try:
                found = json.loads((self.folder.last / "state.json").read_bytes())["progress"]
                return found["epoch"] + 1, found["step"]
            except (OSError, ValueError):
                threading.Event().wait(0.02)
        return 1, 0

    def resumptions(self) -> list[Position]:
        """Where training went on, each time that it did."""
        pattern = re.compile(r"going on from the last checkpoint: epoch (\d+)(?:, step (\d+))?")
        found = [pattern.search(line) for line in list(self.lines)]
        return [(int(m[1]), int(m[2]) - 1 if m[2] else 0) for m in found if m]

    def moves_on(self, after: Position, seconds: float = 300) -> bool:
        """Wait until more than `after` is stored, or the run is whole; the command is given again where it ended."""

        def on() -> bool:
            self.again()
            return self.finished or self.stored() > after

        until(on, f"more than {after} stored; said: {self.lines[-8:]}", seconds)
        return True

    def again(self) -> None:
        """Give the command again where it ended before the run was whole, on the two nodes that it is to have."""
        self.nodes.keep(1, 2)
        if self.ended and not self.finished:
            self.start()

    def went_on(self, resumptions: int) -> bool:
        """True once training went on more often than `resumptions` times, or is over."""
        self.again()
        return self.finished or len(self.resumptions()) > resumptions

    def kill(self) -> None:
        """kill -9 of the command."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def end(self, seconds: float = 300) -> None:
        """Wait for the end of the run, and of the command, which is given again where it was killed."""
        self.moves_on((10**6, 0), seconds)
        if self.process is None:
            self.start()
        assert self.process is not None
        assert self.process.wait(60) == 0, self.lines[-8:]

    def close(self) -> None:
        """Stop the command where it still runs."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


def outcome(folder: RunFolder) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """The run's metrics without clocks, and its best weights."""
    keys = ("epoch", "stage", "best", "train/loss", "val/accuracy", "val/balanced_accuracy", "val/log_loss")
    rows = [{key: record[key] for key in keys} for record in journal.read(folder.metrics)]
    return rows, load_file(folder.best / "model.safetensors")


def waited(seconds: float) -> None:
    """Let so much time go by."""
    threading.Event().wait(seconds)


def clock() -> float:
    """Seconds, for differences."""
    return time.monotonic()
