"""The runs of the table of defaults: one line of JSON each, kept in this folder, so that no session runs one again.

Seed 0 was copied from the lab book of 2026-11-29: whole images, but calibration errors to one decimal, and no cost.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).with_name("rows.jsonl")


@dataclass(frozen=True)
class Row:
    """The test scores of one run, in percent, on so many images, and its cost in processor seconds, if it is known."""

    data: str
    size: int
    seed: int
    model: str
    contender: str
    accuracy: float
    ece: float
    images: int
    steps: int
    cpu_s: float | None

    @property
    def contest(self) -> tuple[str, int, int, str]:
        """Return what the contenders are compared on: set, images a class, seed and model."""
        return self.data, self.size, self.seed, self.model


def load(file: Path) -> list[Row]:
    """Return the rows of a file, none if there is no file."""
    if not file.exists():
        return []
    return [Row(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def add(row: Row, file: Path) -> None:
    """Append a row to a file."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(row)) + "\n")
