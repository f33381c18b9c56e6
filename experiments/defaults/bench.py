"""raytl's defaults beside those of others, on small sets: three keys (name, data, model), and equal steps for everyone.

    python -m experiments.defaults.sets data/defaults
    python -m experiments.defaults.bench data/defaults --assets ../shared/assets
    python -m experiments.defaults.table

What is in rows.jsonl already is not run again (`--out` names another file). The steps of the others are those that raytl's
recipe chose. Not tuned for any set: sizes, seeds and images are those of `sets`. fastai 2.8 needs fastprogress < 1.1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import raytl
from experiments.defaults import peers
from experiments.defaults.rows import FILE, Row, add, load
from experiments.defaults.scores import ece
from experiments.defaults.sets import SEEDS, SIZES
from experiments.defaults.table import CONTENDERS
from raytl.data.shard import steps_per_epoch

MODELS = {
    "mobilenetv2_100": "mobilenetv2_100_tv.safetensors",
    "vit_tiny_patch16_224": "vit_tiny_patch16_224.safetensors",
}


def measured(job: peers.Job, name: str, contender: str, kept: Path | None) -> tuple[NDArray[np.float64], int]:
    """Return the probabilities of the test images and the steps that were trained."""
    if contender == "raytl":
        return _raytl(job, name, kept)
    return {"fastai": peers.fastai, "timm": peers.timm_recipe}[contender](job), job.steps


def _raytl(job: peers.Job, name: str, kept: Path | None) -> tuple[NDArray[np.float64], int]:
    with tempfile.TemporaryDirectory() as folder:
        experiment = raytl.Experiment(
            name=name,
            data=str(job.root),
            model={"name": job.model, "weights": str(job.weights), "preprocess": {"image_px": job.px}},
            compute={"cluster": "none"},
            storage={"uri": folder},
            train={"seed": job.seed},
        )
        run = raytl.train(experiment, progress=False)
        used = raytl.load_experiment(run.path / "experiment.yaml")
        answers = raytl.predict(run, [str(path) for path in job.files("test")], progress=False)
        assert tuple(answers.classes) == tuple(job.classes)
        images = len(job.files("train"))
        if kept:
            shutil.copytree(run.path, kept, dirs_exist_ok=True)
        return answers.probabilities, used.train.epochs * steps_per_epoch(images, used.train.batch_size)


def row(name: str, job: peers.Job, size: int, contender: str, keep: Path | None) -> Row:
    """Return the scores of one contender on one set."""
    started = time.process_time()
    kept = keep / "-".join((name, str(size), str(job.seed), job.model, contender)) if keep else None
    probabilities, steps = measured(job, name, contender, kept)
    cpu_s = time.process_time() - started
    truth = np.array([job.classes.index(path.parent.name) for path in job.files("test")])
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        np.savez(kept / "test.npz", probabilities=probabilities, truth=truth)
    accuracy = float((probabilities.argmax(1) == truth).mean())
    return Row(
        name, size, job.seed, job.model, contender, 100 * accuracy, 100 * ece(probabilities, truth), len(truth), steps, cpu_s
    )  # fmt: skip


def jobs(root: Path, assets: Path, px: int) -> Iterator[tuple[str, int, peers.Job]]:
    """Yield each set, size, seed and model."""
    for seed in SEEDS:
        for size in SIZES:
            for folder in sorted(path for path in root.iterdir() if path.is_dir()):
                for model, file in MODELS.items():
                    place = folder / str(size) / str(seed)
                    yield folder.name, size, peers.Job(place, model, assets / "weights" / file, px, 16, 0, seed)


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"))
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument(
        "--px", type=int, default=112, help="Side of the input; the native 224 px take four times as long."
    )
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--keep", type=Path, help="Keep the answers, and raytl's runs, below this folder.")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    done = {(*each.contest, each.contender): each for each in load(given.out)}
    for name, size, job in jobs(given.data, given.assets, given.px):
        if size not in given.sizes or job.seed not in given.seeds:
            continue
        for contender in CONTENDERS:
            key = (name, size, job.seed, job.model)
            if (*key, contender) in done or contender not in given.only:
                continue
            reference = done.get((*key, "raytl"))
            steps = reference.steps if reference else 0
            if contender != "raytl" and not reference:
                continue
            found = row(name, peers.Job(**{**asdict(job), "steps": steps}), size, contender, given.keep)
            done[(*key, contender)] = found
            add(found, given.out)
            print(f"{name} {size} seed {job.seed} {job.model} {contender}: {found.accuracy:.1f} %, ECE {found.ece:.1f}, "
                  f"{found.steps} steps, {found.cpu_s:.0f} s", flush=True)  # fmt: skip
    shutil.rmtree("runs", ignore_errors=True) if not any(Path("runs").glob("*")) else None


if __name__ == "__main__":
    main()
