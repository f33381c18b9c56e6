"""Measure scaling over workers, the overhead of Ray compared with torchrun, start-up time and recovery time.

    python -m experiments.bench.scale                              # all parts: about an hour on two idle cores
    python -m experiments.bench.scale --parts weak overhead --rounds 5
    python -m experiments.bench.scale --parts startup --against ../before   # two checkouts in turns
    python -m experiments.bench.scale --quick                      # a smoke test

Contenders take turns, round by round; tables show medians. Results are saved by part in build/bench/scale.json, the tables in
build/bench/scale.md. `experiments.bench.many` estimates the load of a large cluster on its head and store.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from experiments.bench import scale_faults, scale_startup
from experiments.bench.photos import photos
from experiments.bench.scale_nodes import ENVIRONMENT
from experiments.bench.scale_run import Epochs

ROOT = Path("build/bench/scale").absolute()
RESULTS = ROOT.with_suffix(".json")
WORKERS = (1, 2, 4)


@dataclass(frozen=True)
class Size:
    """The size of the bench: `images` and `batch` per worker, `rounds` runs of each contender.

    `trees` are the checkouts whose start-up is measured: this one, and one to compare it with.
    """

    model: str
    images: int
    batch: int
    epochs: int
    rounds: int
    px: int
    trees: tuple[str, ...] = (".",)


def weak(size: Size) -> dict[str, Any]:
    """Measure the images/s of 1, 2 and 4 workers, with a constant number of images and batch size per worker."""
    results: dict[str, list[float]] = {str(workers): [] for workers in WORKERS}
    for number in range(size.rounds):
        for workers in WORKERS:
            rates = ran("ray", size, workers, f"weak-{workers}-{number}").images_per_s
            results[str(workers)].append(statistics.median(rates))
            say(f"weak scaling, round {number + 1}: {workers} workers {results[str(workers)][-1]:.0f} images/s")
    return {"cores": len(os.sched_getaffinity(0)), "images_per_s": results}


def overhead(size: Size) -> dict[str, Any]:
    """Measure the seconds per epoch, on Ray and under torchrun, with and without a spare core for Ray."""
    cores = len(os.sched_getaffinity(0))
    results: dict[str, dict[str, list[float]]] = {str(n): {"ray": [], "torchrun": []} for n in (cores // 2, cores)}
    for number in range(size.rounds):
        for workers, contenders in results.items():
            for contender in ("ray", "torchrun") if number % 2 == 0 else ("torchrun", "ray"):
                epochs = ran(contender, size, int(workers), f"{contender}-{workers}-{number}")
                contenders[contender].append(statistics.median(epochs.seconds))
                say(
                    f"overhead, round {number + 1}: {workers} workers, {contender} {contenders[contender][-1]:.3f} s per epoch"
                )
    return {"cores": cores, "epoch_s": results}


def ran(contender: str, size: Size, workers: int, name: str) -> Epochs:
    """Run one contender in its own processes, on decoded images."""
    file = experiment(size, workers, name)
    words = [sys.executable, "-m"]
    if contender == "torchrun":
        words += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(workers), "-m"]
    done = subprocess.run(
        [*words, "experiments.bench.scale_run", contender, str(file)],
        env=environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"{contender} with {workers} workers ended with {done.returncode}:\n{done.stderr.decode()[-3000:]}"
        )
    return Epochs.of(ROOT / "runs" / name)


def environment() -> dict[str, str]:
    """Return the environment: one thread per worker, which sleeps while idle, as raytl configures it on Ray."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "RAY_AUTH_MODE": "disabled",
        "RAYTL_CACHE": str(ROOT / "cache"),
    }


def experiment(size: Size, workers: int, name: str, cluster: str = "embedded", **train: Any) -> Path:
    """Write an experiment file; the dataset and the batch grow with the workers, and early stopping is off."""
    folder = ROOT / f"photos-{workers}"
    if not folder.exists():
        photos(folder, size.images * workers)
    values = {
        "name": name,
        "recipe": "none",
        "data": {"uri": str(folder), "test_fraction": 0.0, "on_duplicate": "drop", "loader_workers": 0},
        "model": {"name": size.model, "weights": "none", "preprocess": {"image_px": size.px}},
        "transfer": {"unfreeze": "all", "head_first": 0},
        "optim": {"lr": 1e-4},
        "train": {
            "epochs": size.epochs,
            "batch_size": size.batch * workers,
            "early_stop": 0,
            "precision": "fp32",
            **train,
        },
        "compute": {"cluster": cluster, "workers": workers, "device": "cpu"},
        "storage": {"uri": str(ROOT / "runs")},
    }
    path = ROOT / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def startup(size: Size) -> dict[str, Any]:
    """Measure the seconds from `submit` to the first step on two workers, by part, of each tree in turn."""
    os.environ.update(ENVIRONMENT)
    file = partial(experiment, replace(size, epochs=50), 2, cluster="auto")
    return scale_startup.measure(file, ROOT / "runs", size.rounds, size.trees)


def recovery(size: Size) -> dict[str, Any]:
    """Measure the seconds from each fault to the first new step."""
    os.environ.update(ENVIRONMENT)

    def file(name: str, cluster: str) -> Path:
        return experiment(size, 2, name, cluster=cluster, epochs=1000, checkpoint_every_s=2.0)

    results: dict[str, list[float]] = {}
    for number in range(size.rounds):
        for kind in scale_faults.KINDS:
            seconds = scale_faults.recovered(kind, file, ROOT / "runs", number)
            results.setdefault(kind, []).append(seconds)
            say(f"recovery, round {number + 1}: {kind} {seconds:.1f} s")
    return {"seconds": results}


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)


def weak_table(results: dict[str, Any]) -> str:
    """Return the table of weak scaling, with efficiency relative to the cores available to the workers."""
    cores, one = results["cores"], statistics.median(results["images_per_s"]["1"])
    lines = ["| workers | their cores | images/s | efficiency per core |", "|---|---|---|---|"]
    for workers in WORKERS:
        rate, usable = statistics.median(results["images_per_s"][str(workers)]), min(workers, cores)
        each = "" if workers <= cores else f" ({usable / workers:.2g} each)"
        lines.append(f"| {workers} | {usable}{each} | {rate:.0f} | {rate / (one * usable):.2f} |")
    return "\n".join(lines)


def overhead_table(results: dict[str, Any]) -> str:
    """Return the table of overhead; its ratio is the median over rounds."""
    lines = [
        "| workers | cores | epoch on Ray | epoch under torchrun | overhead of Ray | rounds |",
        "|---|---|---|---|---|---|",
    ]
    for workers, contenders in results["epoch_s"].items():
        more = [100 * (a / b - 1) for a, b in zip(contenders["ray"], contenders["torchrun"], strict=True)]
        rounds = ", ".join(f"{value:+.1f}" for value in more)
        ray, torchrun = (f"{statistics.median(contenders[contender]):.2f} s" for contender in ("ray", "torchrun"))
        costs = f"{statistics.median(more):+.1f} %"
        lines.append(f"| {workers} | {results['cores']} | {ray} | {torchrun} | {costs} | {rounds} |")
    return "\n".join(lines)


def recovery_table(results: dict[str, Any]) -> str:
    """Return the table of recovery by fault."""
    lines = ["| fault | to the first new step | rounds |", "|---|---|---|"]
    for kind, seconds in results["seconds"].items():
        lines.append(f"| {kind} | {statistics.median(seconds):.1f} s | {', '.join(f'{s:.1f}' for s in seconds)} |")
    return "\n".join(lines)


Part = tuple[Callable[[Size], dict[str, Any]], Callable[[dict[str, Any]], str], str]
MEASURED: dict[str, Part] = {
    "weak": (weak, weak_table, "Weak scaling: constant images per worker"),
    "overhead": (overhead, overhead_table, "Ray compared with torchrun: the same loop, data and checkpoints"),
    "startup": (startup, scale_startup.table, "Start-up by part"),
    "recovery": (recovery, recovery_table, "Recovery: from the fault to the first new step"),
}


def chosen(arguments: Sequence[str] | None = None) -> tuple[Size, list[str]]:
    """Return the size and the parts from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(MEASURED), default=list(MEASURED))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke test: a tiny model, one round")
    parser.add_argument("--against", metavar="TREE", help="measure start-up of this checkout too, in turns")
    given = parser.parse_args(arguments)
    trees = (".", given.against) if given.against else (".",)
    if given.quick:
        return Size("test_resnet", 24, 8, 3, 1, 64, trees), given.parts
    return Size("mobilenetv2_100", 192, 32, 4, given.rounds, 128, trees), given.parts


def main() -> None:
    """Measure, save and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the clusters too
    size, parts = chosen()
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    saved = json.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}
    for part in parts:
        saved[part] = {"size": asdict(size), **MEASURED[part][0](size)}
        RESULTS.write_text(json.dumps(saved, indent=1), encoding="utf-8")
    tables = [f"{title}\n\n{table(saved[part])}\n" for part, (_, table, title) in MEASURED.items() if part in saved]
    ROOT.with_suffix(".md").write_text("\n".join(tables), encoding="utf-8")
    print("\n".join(tables))


if __name__ == "__main__":
    main()
