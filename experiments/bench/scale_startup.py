"""Measure a start on a running cluster: from `raytl submit` to the first step of two workers, by part and by process."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.bench.processes import ProcessorSeconds
from experiments.bench.scale_nodes import TOKEN, Nodes, wait_for
from experiments.bench.scale_run import marks

PARTS = (
    ("upload and submission", "submitted"),
    ("job start: Ray starts the driver's process", "driver"),
    ("interpreter and imports of the driver, workers begin to start", "imported"),
    ("plan: data validated, model read", "planned"),
    ("connection to Ray", "connected"),
    ("workers: placed, started, imports", "placed"),
    ("process group", "process group"),
    ("function and its data to the workers", "entered"),
    ("model, images and checkpoint", "prepared"),
    ("first batch", "first batch"),
    ("first step", "step"),
)
"""The parts of a start, and the mark that ends each."""
Start = dict[str, dict[str, float]]
"""The seconds of a start by part (`wall`) and the processor seconds by process (`processor`)."""


def measure(file: Callable[[str], Path], runs: Path, rounds: int, trees: Sequence[str]) -> dict[str, Any]:
    """Return the starts of each tree, in turns on one cluster; the first of a tree uploads its code and is not `later`.

    `file` writes the experiment file of a name.
    """
    nodes = Nodes()
    starts: dict[str, list[Start]] = {tree: [] for tree in trees}
    try:
        for _ in range(2):
            nodes.add()
        for number in range(rounds + 1):
            for at, tree in enumerate(trees):
                starts[tree].append(_started(nodes, file(f"startup-{at}-{number}"), runs, Path(tree)))
                total = sum(starts[tree][-1]["wall"].values()), sum(starts[tree][-1]["processor"].values())
                print(f"start {number + 1} of {tree}: {total[0]:.1f} s, processor {total[1]:.1f} s", file=sys.stderr)
    finally:
        nodes.close()
    return {"first": {tree: each[0] for tree, each in starts.items()}, "later": {t: s[1:] for t, s in starts.items()}}


def _started(nodes: Nodes, file: Path, runs: Path, tree: Path) -> Start:
    """Measure one start of the code in `tree`, by part; stop the job after its first step."""
    from raytl.config.load import load_experiment
    from raytl.jobs.client import Jobs
    from raytl.jobs.pack import pack
    from raytl.jobs.spec import job_spec

    run = runs / file.stem
    packed, job_experiment = pack(load_experiment(file), (tree / "raytl").resolve())
    spec = job_spec("train", job_experiment, packed, code_source="checkout", version="bench", user="bench", commit="")
    words = f"env RAYTL_CACHE={runs.parent / 'cache'} python -m experiments.bench.scale_run ray {file}"
    spec = replace(spec, id=f"{spec.id}-{file.stem}-1", entrypoint=words)
    jobs = Jobs(nodes.url, TOKEN)
    with ProcessorSeconds(os.getpid()) as meter:
        began = time.time()
        jobs.submit(spec, packed)
        at = {"submitted": time.time()}
        try:
            wait_for(lambda: any(each["kind"] == "step" for each in marks(run)), f"the first step of {run}", 300)
        except SystemExit as late:
            raise SystemExit(f"{late}; its job log:\n{jobs.logs(spec.id)[-3000:]}") from late
        processor = meter.by_role()
    jobs.stop(spec.id)
    for each in marks(run):
        if each.get("rank", 0) == 0:
            at.setdefault(each["kind"], float(each["t"]))
    times = [began, *(at[kind] for _, kind in PARTS)]
    wall = {part: b - a for (part, _), a, b in zip(PARTS, times, times[1:], strict=False)}
    return {"wall": wall, "processor": processor}


def table(results: dict[str, Any]) -> str:
    """Return the tables of parts and of processes: medians of the later jobs of each tree, and this tree's first job."""
    trees = list(results["later"])
    first = results["first"][trees[0]]
    head = ["first job", "later jobs", *(f"later jobs of {tree}" for tree in trees[1:])]
    lines: list[str] = []
    for kind, title in (("wall", "from submit to the first step"), ("processor", "processor seconds until then")):
        columns = [first[kind], *(_medians([each[kind] for each in results["later"][tree]]) for tree in trees)]
        rows = dict.fromkeys(row for column in columns for row in column)
        lines += ["", f"| {title} | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        lines += [f"| {row} | {' | '.join(f'{column.get(row, 0.0):.2f} s' for column in columns)} |" for row in rows]
        lines.append(f"| **all** | {' | '.join(f'**{sum(column.values()):.1f} s**' for column in columns)} |")
    return "\n".join(lines[1:])


def _medians(starts: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in starts for name in each)
    return {name: statistics.median(each.get(name, 0.0) for each in starts) for name in names}
