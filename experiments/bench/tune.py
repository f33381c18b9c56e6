"""Compare `raytl tune` with the usual ways to search: wall time, score over time, and an ablation.

    python -m experiments.bench.tune                          # three seeds, interleaved, and the ablation: about an hour
    python -m experiments.bench.tune --seeds 0 --no-ablation --no-refit
    python -m experiments.bench.tune --trials 4 --epochs 2 --images 48 --seeds 0    # a smoke test
    python -m experiments.bench.tune --data data/defaults/signs/20/0 --px 112       # class folders of train, val and test
    python -m experiments.bench.tune --seeds 3 4 --contenders nested raytl --no-ablation    # without the other pattern

`nested` is the pattern of Ray's documentation (a TorchTrainer in each trial), `plain` the same without the nested
trainer (tune_peer.py), and `raytl` is `raytl tune`. All have the same photos, space, number of trials, epochs, halving
and parallelism (two trials at a time, one core each); keys outside of the space have each side's defaults. They take
turns on the same machine, seed by seed. The time of a sweep includes the start of its command. The ablation repeats raytl
on the first seed with one feature off at a time, and once with the sweep of another seed as `search.prior`, which raytl
itself is without. Results are saved in runs/bench/tune.json, or in tune-NAME.json for `--data`; the same command resumes
where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from experiments.bench.photos import copied
from experiments.bench.tune_setup import METRIC, Setup

ROOT = Path("runs/bench/tune")
NEAR = 0.005
"""Scores within half a point count as equal."""
CONTENDERS = ("nested", "plain", "raytl")
ABLATION: dict[str, dict[str, Any]] = {
    "no shared prefixes": {"search.feature_cache": "off"},
    "no solved head": {"search.linear_probe": False},
    "no recipes": {"search.recipes": False},
    "no pruning": {"search.scheduler": "none"},
    "no stop at noise": {"search.stop": "never"},
    "no decoded cache": {"data.cache": "off"},
    "no reuse of processes": {"RAYTL_BENCH_REUSE": "0"},
    "uniform startup": {"RAYTL_BENCH_STARTUP": "uniform"},
    "with the sweep of seed 1": {"search.prior": "raytl-1"},
}


@dataclass(frozen=True)
class Sweep:
    """A sweep: its seconds, the score after each epoch of any trial as (s, score), the winner's overrides and test score."""

    seconds: float
    curve: list[tuple[float, float]]
    trials: int
    overrides: dict[str, Any]
    test: float | None = None

    @property
    def best(self) -> float:
        """Return the best validation score."""
        return max(score for _, score in self.curve)

    def seconds_to(self, score: float) -> float | None:
        """Return the seconds until a trial reached `score`, or None."""
        return next((s for s, value in self.curve if value >= score), None)


def swept(setup: Setup, overrides: dict[str, Any]) -> Sweep:
    """Run the sweep of one contender in its own process, with its own empty caches."""
    folder = Path(setup.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as ray:
        began = replace(setup, ray=ray, began=time.time())
        run(began, overrides, "sweep")
        seconds = time.time() - began.began
    done = json.loads((folder / "done.json").read_bytes())
    lines = (folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
    curve = sorted((record["s"], record["score"]) for record in map(json.loads, lines))
    return Sweep(done.get("seconds", seconds), curve, done["trials"], done["overrides"])


def tested(setup: Setup, overrides: dict[str, Any]) -> float:
    """Retrain the winner with the code of its contender, and return its balanced accuracy on the test photos."""
    run(setup, overrides, "refit")
    return float(json.loads((Path(setup.folder) / "test.json").read_bytes()))


def run(setup: Setup, overrides: dict[str, Any], verb: str) -> None:
    """Run one process of a contender."""
    given = json.dumps({"setup": asdict(setup), "overrides": overrides, "verb": verb})
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
    environment |= {"RAYTL_CACHE": str(Path(setup.folder, "cache").resolve()), "PYTHONPATH": str(Path.cwd())}
    environment |= {key: value for key, value in overrides.items() if key.startswith("RAYTL_")}
    with Path(setup.folder, f"{verb}.log").open("w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "experiments.bench.tune_contender", given]
        ended = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        raise SystemExit(f"{setup.contender} ended with {ended.returncode}; see {log.name}")


def main() -> None:
    """Run what is missing, and print the table."""
    options = arguments()
    assets = Path(os.environ.get("RAYTL_ASSETS", "../shared/assets"))
    data = options.data or trashnet(assets, options.images)
    root = ROOT if options.data is None else ROOT.with_name("tune-" + "-".join(data.resolve().parts[-3:]))
    results = root.with_suffix(".json")
    root.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        contender="",
        seed=0,
        folder="",
        ray="",
        data=str(data.resolve()),
        model="mobilenetv2_100",
        weights=str((assets / "weights" / "mobilenetv2_100_tv.safetensors").resolve()),
        stages=stages(),
        trials=options.trials,
        epochs=options.epochs,
        batch=32,
        px=options.px,
    )
    saved: dict[str, Any] = json.loads(results.read_bytes()) if results.exists() else {}
    todo: list[tuple[str, str, int, dict[str, Any]]] = [
        (f"{contender} {seed}", contender, seed, {}) for seed in options.seeds for contender in options.contenders
    ]
    todo += (
        [] if options.no_ablation else [(f"{name} 0", "raytl", 0, off) for name, off in ablation(root, options.seeds)]
    )
    for name, contender, seed, off in todo:
        here = replace(setup, contender=contender, seed=seed, folder=str((root / name.replace(" ", "-")).resolve()))
        if name not in saved:
            saved[name] = asdict(swept(here, off))
            keep(saved, results)
        if contender in CONTENDERS and not off and not options.no_refit and saved[name]["test"] is None:
            saved[name]["test"] = tested(here, saved[name]["overrides"])
            keep(saved, results)
        sweep = Sweep(**saved[name])
        print(f"{name}: {sweep.seconds:.0f} s, best {100 * sweep.best:.1f}, test {sweep.test}", flush=True)
    print(table({name: Sweep(**values) for name, values in saved.items()}, options.seeds))


def ablation(root: Path, seeds: list[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of the ablation with their overrides; that with an earlier sweep needs the sweep of its seed."""
    for name, off in ABLATION.items():
        if (prior := off.get("search.prior")) is None:
            yield name, off
        elif int(prior.rpartition("-")[2]) in seeds:
            yield name, {"search.prior": str((root / prior).resolve())}


def trashnet(assets: Path, images: int) -> Path:
    """Return a folder with so many photos for training, as many for validation, and all for the test."""
    data = ROOT / "data"
    if not data.exists():
        for split, count in (("train", images), ("val", images), ("test", 10_000)):
            copied(assets / "datasets" / "trashnet_256" / split, data / split, count)
    return data


def keep(saved: dict[str, Any], results: Path) -> None:
    """Write the results."""
    results.write_text(json.dumps(saved), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Return the command-line options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=240, help="training photos, and as many validation photos")
    parser.add_argument("--px", type=int, default=128, help="width of the network's input")
    parser.add_argument("--data", type=Path, help="another set, in place of TrashNet photos")
    parser.add_argument("--no-ablation", action="store_true")
    parser.add_argument("--no-refit", action="store_true")
    return parser.parse_args()


def stages() -> int:
    """Return the number of stages of the network."""
    from raytl.config.schema import ModelConfig
    from raytl.models.backbone import build

    return len(build(ModelConfig(name="mobilenetv2_100", weights="none"), 6).stages)


def table(sweeps: dict[str, Sweep], seeds: list[int]) -> str:
    """Return Markdown tables: medians over seeds by contender, then the ablation on the first seed."""
    lines = [
        f"| | wall s | trials/h | best {METRIC} | s to nested's best - 0.5 | fraction of nested's wall | of plain's | test |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for contender in CONTENDERS:
        ran = [seed for seed in seeds if f"{contender} {seed}" in sweeps]
        if ran:
            lines.append(row(contender, [sweeps[f"{contender} {seed}"] for seed in ran], sweeps, ran))
    lines += ["", "| raytl, seed 0 | wall s | best | s to nested's best - 0.5 |", "|---|---|---|---|"]
    for name in ("raytl", *ABLATION):
        if (one := sweeps.get(f"{name} 0")) is not None:
            score = target(sweeps, 0)
            at = None if score is None else one.seconds_to(score)
            lines.append(
                f"| {name} | {one.seconds:.0f} | {100 * one.best:.1f} | {'-' if at is None else f'{at:.0f}'} |"
            )
    return "\n".join(lines)


def target(sweeps: dict[str, Sweep], seed: int) -> float | None:
    """Return the target score: half a point below the best of the documented pattern with that seed, if that ran."""
    nested = sweeps.get(f"nested {seed}")
    return None if nested is None else nested.best - NEAR


def row(contender: str, own: list[Sweep], sweeps: dict[str, Sweep], seeds: list[int]) -> str:
    """Return the line of a contender."""
    targets = [target(sweeps, seed) for seed in seeds]
    at = [None if score is None else one.seconds_to(score) for score, one in zip(targets, own, strict=True)]
    ratios_by_peer = [
        [
            None if s is None or (peer := sweeps.get(f"{other} {seed}")) is None else s / peer.seconds
            for seed, s in zip(seeds, at, strict=True)
        ]
        for other in ("nested", "plain")
    ]
    tests = [100 * one.test for one in own if one.test is not None]
    cells = [
        contender,
        f"{statistics.median(one.seconds for one in own):.0f}",
        f"{statistics.median(3600 * one.trials / one.seconds for one in own):.0f}",
        ", ".join(f"{100 * one.best:.1f}" for one in own),
        ", ".join("-" if s is None else f"{s:.0f}" for s in at),
        *(", ".join("-" if s is None else f"{s:.2f}" for s in ratios) for ratios in ratios_by_peer),
        ", ".join(f"{value:.1f}" for value in tests) or "-",
    ]
    return "| " + " | ".join(cells) + " |"


def experiment_of(setup: Setup, overrides: dict[str, Any]) -> Path:
    """Write the experiment file of a setup for raytl."""
    values: dict[str, Any] = {
        "name": "bench",
        "data": {"uri": setup.data},
        "model": {"name": setup.model, "weights": setup.weights, "preprocess": {"image_px": setup.px}},
        "train": {"epochs": setup.epochs, "batch_size": setup.batch, "early_stop": 0, "seed": setup.seed},
        "compute": {"workers": 1, "device": "cpu"},
        "storage": {"uri": setup.folder},
        "search": {
            "trials": setup.trials,
            "metric": METRIC,
            "scheduler": "asha",
            "grace_epochs": setup.grace,
            "reduction": setup.reduction,
            "budget": {"max_epochs": setup.epochs},
            "replicates": {"top": 0},
            "seed": setup.seed,
        },
    }
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if name:
            values[section][name] = value
    file = Path(setup.folder, "experiment.yaml")
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


if __name__ == "__main__":
    main()
