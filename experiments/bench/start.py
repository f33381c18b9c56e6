"""Measure where the seconds of a short run go: `raytl train` on 60 images for two epochs, from the command to its end.

    python -m experiments.bench.start [--against TREE] [--rounds 5] [--weights FILE] [--set KEY=VALUE ...]

Runs this tree and, with `--against`, another one in turn, each in new processes, and prints the median seconds of each phase
and the processor seconds of all processes. One worker, MobileNetV2 at 224 px, synthetic photos, on CPU.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.bench.trees import HERE, compared_trees

PHASES = {
    "imports": "interpreter and imports",
    "plan": "plan: data read, model built",
    "workers": "worker started, its imports",
    "model": "model, images, checkpoint",
    "first batch": "first batch",
    "first step": "first step",
    "epochs": "rest of the two epochs",
    "end": "charts, results, exit",
}
TO_STEP, WHOLE, CPU = "**to the first step**", "**whole run**", "processor seconds, all processes"
_SUBREAPER = 36
"""`PR_SET_CHILD_SUBREAPER`: orphans of a run, such as Ray's processes, become children here, so their time is known."""


def photos(folder: Path) -> None:
    """Write ten photos of each of six classes: noise of a color."""
    rng = np.random.default_rng(0)
    for kind in range(6):
        (folder / f"kind-{kind}").mkdir(parents=True)
        for number in range(10):
            noise = rng.integers(0, 128, (256, 320, 3), dtype=np.uint8) + 20 * kind
            Image.fromarray(noise.astype(np.uint8)).save(folder / f"kind-{kind}" / f"{number}.jpg")


def measured(tree: Path, place: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of each phase of one run of `tree`, without an earlier run or cache in `place`."""
    for name in ("runs", "cache"):
        shutil.rmtree(place / name, ignore_errors=True)
    (place / "marks").unlink(missing_ok=True)
    words = [f"data.uri={place / 'photos'}", f"storage.uri={place / 'runs'}", *arguments.set]
    if "recipe: Literal" in (tree / "raytl" / "config" / "schema.py").read_text(encoding="utf-8"):
        words.append("recipe=none")  # the same steps in both trees
    environment = {
        **os.environ, "PYTHONPATH": f"{tree}:{place}", "START_MARKS": str(place / "marks"), "RAYTL_CACHE": str(place / "cache"),
    }  # fmt: skip
    command = [sys.executable, str(place / "start_run.py"), "train", str(place / "start.yaml")]
    command += [part for word in words for part in ("--set", word)]
    before, began = _processor_s(), time.time()
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    ended = time.time()
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr[-3000:]}")
    _reap()
    return _seconds(place / "marks", began, ended) | {CPU: _processor_s() - before}


def _seconds(marks: Path, began: float, ended: float) -> dict[str, float]:
    at: dict[str, float] = {}
    for name, when in map(json.loads, marks.read_text(encoding="utf-8").splitlines()):
        if name == "epochs" or name not in at:  # the last epoch, and the first of all others
            at[name] = when
    at["end"] = ended
    times = [began, *(at[name] for name in PHASES)]
    seconds = {text: after - before for text, before, after in zip(PHASES.values(), times, times[1:], strict=False)}
    return seconds | {TO_STEP: at["first step"] - began, WHOLE: ended - began}


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reap() -> None:
    """Wait for the orphans of a run."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Return the medians by phase, a column for each tree."""
    lines = [f"| seconds (median of {len(next(iter(results.values())))}) | {' | '.join(results)} |"]
    lines += ["|---|" + "---|" * len(results)]
    for row in (*PHASES.values(), TO_STEP, WHOLE, CPU):
        cells = [f"{statistics.median(each[row] for each in runs):.1f}" for runs in results.values()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table and the load of the machine."""
    arguments, trees = compared_trees(__doc__)
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        photos(place / "photos")
        shutil.copy(HERE / "experiments" / "bench" / "start_run.py", place)
        (place / "start.yaml").write_text(
            "name: start\ndata: photos\ntrain: {epochs: 2}\ncompute: {device: cpu}\n"
            f"model: {{name: mobilenetv2_100, weights: {json.dumps(arguments.weights)}}}\n",
            encoding="utf-8",
        )
        for number in range(arguments.rounds):
            for name, tree in trees.items():
                results[name].append(measured(tree, place, arguments))
                whole, cpu = results[name][-1][WHOLE], results[name][-1][CPU]
                print(f"round {number + 1}, {name}: {whole:.1f} s, {cpu:.1f} processor s", file=sys.stderr, flush=True)
    print(table(results))
    print(f"\nload of the machine in the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
