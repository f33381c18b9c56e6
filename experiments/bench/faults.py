"""Print the table of faults from the rounds that `RAYTL_FAULT_ROUNDS=20 make test-faults` recorded.

    python -m experiments.bench.faults

A kind of fault is listed if its test passed: the test checks every round, and requires that every run ends with the
metrics and weights of an undisturbed run.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROUNDS = Path("build/faults/rounds.jsonl")


def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        by_kind.setdefault(record["kind"], []).append(record)
    print("| fault | rounds | workers restarted | from the fault to the next checkpoint, median (worst) |")
    print("|---|---|---|---|")
    for kind, rounds in by_kind.items():
        again = sum(record["resumed"] is not None for record in rounds)
        seconds = [record["seconds"] for record in rounds]
        print(f"| {kind} | {len(rounds)} | {again} | {statistics.median(seconds):.0f} ({max(seconds):.0f}) s |")


if __name__ == "__main__":
    main()
