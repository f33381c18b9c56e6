"""Measure what `raytl tune` waits for before the first score of a trial, from new processes and without caches.

    python -m experiments.bench.tune_start --weights FILE                        # this tree
    python -m experiments.bench.tune_start --weights FILE --against ../before    # and another one in turn, five rounds

Prints the median seconds of each phase, the processor seconds of all processes by role at the first score, and those of the
whole sweep (four trials of two epochs, six classes of synthetic photos at 64 px). MobileNetV2 on CPU.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.bench.processes import ProcessorSeconds
from experiments.bench.start import photos
from experiments.bench.trees import HERE, compared_trees

PHASES = {
    "command line": "interpreter, command line",
    "first event": "imports; the plan begins",
    "planned": "plan, and Ray",
    "head": "head solved",
    "first trial": "first trial suggested",
    "scored": "its first score",
}
TO_SCORE, WHOLE = "**to the first score**", "**whole command**"


def measured(tree: Path, place: Path, words: list[str]) -> dict[str, dict[str, float]]:
    """Return the seconds by phase, and the processor seconds by role until the first score and of the whole sweep."""
    for name in ("runs", "cache", "marks"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).unlink(missing_ok=True)
    own = {"PYTHONPATH": str(tree), "START_MARKS": str(place / "marks"), "RAYTL_CACHE": str(place / "cache")}
    command = [sys.executable, str(place / "tune_start_run.py"), "tune", str(place / "sweep.yaml"), *words]
    with ProcessorSeconds(os.getpid()) as meter, (place / "log").open("w", encoding="utf-8") as log:
        began = time.time()
        process = subprocess.Popen(command, cwd=place, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None and "scored" not in _marks(place / "marks"):
            time.sleep(0.1)
        until_score = meter.by_role()
        if process.wait():
            raise SystemExit(f"{tree}: {(place / 'log').read_text(encoding='utf-8')[-3000:]}")
        whole = meter.by_role()
    at = _marks(place / "marks")
    times = [began, *(at[name] for name in PHASES)]
    seconds = {text: after - before for text, before, after in zip(PHASES.values(), times, times[1:], strict=False)}
    seconds |= {TO_SCORE: at["scored"] - began, WHOLE: time.time() - began}
    return {"seconds": seconds, "processor seconds until then": until_score, "of the whole sweep": whole}


def _marks(file: Path) -> dict[str, float]:
    """Return the first time of each mark."""
    at: dict[str, float] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            name, when, _ = json.loads(line)
            at.setdefault(name, when)
    return at


def table(results: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """Return the medians of each tree."""
    lines: list[str] = []
    for kind in next(iter(results.values()))[0]:
        rows = dict.fromkeys(row for runs in results.values() for each in runs for row in each[kind])
        lines += ["", f"| {kind} | {' | '.join(results)} |", "|---" * (1 + len(results)) + "|"]
        cells = {row: [_median(runs, kind, row) for runs in results.values()] for row in rows}
        if kind != "seconds":
            cells["**all**"] = [sum(values) for values in zip(*cells.values(), strict=True)]
        lines += [f"| {row} | {' | '.join(f'{value:.1f}' for value in values)} |" for row, values in cells.items()]
    return "\n".join(lines[1:])


def _median(runs: list[dict[str, dict[str, float]]], kind: str, row: str) -> float:
    return statistics.median(each[kind].get(row, 0.0) for each in runs)


def main() -> None:
    """Measure, and print the tables and the load of the machine."""
    arguments, trees = compared_trees(__doc__)
    results: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        photos(place / "photos")
        shutil.copy(HERE / "experiments" / "bench" / "tune_start_run.py", place)
        (place / "sweep.yaml").write_text(
            f"name: start\ndata: {place / 'photos'}\ntrain: {{epochs: 2}}\ncompute: {{device: cpu}}\n"
            f"storage: {{uri: {place / 'runs'}}}\nsearch: {{trials: 4, replicates: {{top: 0}}}}\n"
            "model: {name: mobilenetv2_100, preprocess: {image_px: 64}, weights: "
            + json.dumps(arguments.weights)
            + "}\n",
            encoding="utf-8",
        )
        words = [part for word in arguments.set for part in ("--set", word)]
        for number in range(arguments.rounds):
            for name, tree in trees.items():
                results[name].append(measured(tree, place, words))
                last = results[name][-1]
                cpu = sum(last["processor seconds until then"].values())
                print(
                    f"round {number + 1}, {name}: {last['seconds'][TO_SCORE]:.1f} s, processor {cpu:.1f} s",
                    file=sys.stderr,
                )
    print(table(results))
    print(f"\nload of the machine in the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
