"""raytl's defaults beside those of others, on small sets: three keys (name, data, model), and equal steps for everyone.

    python -m experiments.defaults.sets data/defaults
    python -m experiments.defaults.bench data/defaults --assets ../shared/assets --out results.jsonl

One line of JSON a run; what is in the file already is not run again. `--table` prints the summary. The steps of the others
are those that raytl's recipe chose. Not tuned for any set: sizes, seeds and images are those of `sets`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import raytl
from experiments.defaults import peers
from experiments.defaults.sets import SEEDS, SIZES
from raytl.data.shard import steps_per_epoch

MODELS = {
    "mobilenetv2_100": "mobilenetv2_100_tv.safetensors",
    "vit_tiny_patch16_224": "vit_tiny_patch16_224.safetensors",
}
CONTENDERS = ("raytl", "fastai", "timm")


@dataclass(frozen=True)
class Row:
    """The test scores of one run, in percent, and its cost."""

    data: str
    size: int
    seed: int
    model: str
    contender: str
    accuracy: float
    ece: float
    images: int
    steps: int
    cpu_s: float


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


def ece(probabilities: NDArray[np.float64], truth: NDArray[np.int64], bins: int = 15) -> float:
    """Return the expected calibration error over equally wide bins of confidence (Guo et al. 2017)."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(right[places == b].mean() - confidence[places == b].mean()) * (places == b).mean()
            for b in range(bins)
            if (places == b).any()
        )
    )


def jobs(root: Path, assets: Path, px: int) -> Iterator[tuple[str, int, peers.Job]]:
    """Yield each set, size, seed and model."""
    for seed in SEEDS:
        for size in SIZES:
            for folder in sorted(path for path in root.iterdir() if path.is_dir()):
                for model, file in MODELS.items():
                    place = folder / str(size) / str(seed)
                    yield folder.name, size, peers.Job(place, model, assets / "weights" / file, px, 16, 0, seed)


def table(rows: list[Row]) -> str:
    """Return, for each size and model, the mean accuracy, rank and calibration error of each contender, and raytl's losses."""
    lines = [
        "| images a class | model | "
        + " | ".join(f"{name}: accuracy (rank, ECE)" for name in CONTENDERS)
        + " | runs |",
        "|---" * (len(CONTENDERS) + 3) + "|",
    ]
    by_run: dict[tuple[str, int, int, str], dict[str, Row]] = {}
    for each in rows:
        by_run.setdefault((each.data, each.size, each.seed, each.model), {})[each.contender] = each
    complete = {key: found for key, found in by_run.items() if len(found) == len(CONTENDERS)}
    for size, model in sorted({(key[1], key[3]) for key in complete}):
        runs = [found for key, found in complete.items() if (key[1], key[3]) == (size, model)]
        cells = [_cell(runs, name) for name in CONTENDERS]
        lines.append(f"| {size} | {model} | " + " | ".join(cells) + f" | {len(runs)} |")
    lines.append(
        "| all | | " + " | ".join(_cell(list(complete.values()), name) for name in CONTENDERS) + f" | {len(complete)} |"
    )
    lost = [
        f"{key[0]} {key[1]} seed {key[2]} {key[3]}: {found['raytl'].accuracy:.1f}, {name} {found[name].accuracy:.1f}"
        for key, found in complete.items()
        for name in CONTENDERS[1:]
        if found[name].accuracy - found["raytl"].accuracy > noise(found["raytl"])
    ]
    won = sum(
        found["raytl"].accuracy - found[name].accuracy > noise(found["raytl"])
        for found in complete.values()
        for name in CONTENDERS[1:]
    )
    return "\n".join([*lines, "", f"Beyond two standard errors: {won} won, {len(lost)} lost.", *lost])


def noise(found: Row) -> float:
    """Return two standard errors of an accuracy, in percent."""
    share = found.accuracy / 100
    return 200 * float(np.sqrt(max(share * (1 - share), 0.25 / found.images) / found.images))


def _cell(runs: list[dict[str, Row]], name: str) -> str:
    ranks = [1 + sum(other.accuracy > found[name].accuracy for other in found.values()) for found in runs]
    accuracy = statistics.mean(found[name].accuracy for found in runs)
    calibration = statistics.mean(found[name].ece for found in runs)
    return f"{accuracy:.1f} ({statistics.mean(ranks):.2f}, {calibration:.1f})"


def main() -> None:
    """Run what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"))
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"))
    parser.add_argument(
        "--px", type=int, default=112, help="Side of the input; the native 224 px take four times as long."
    )
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--keep", type=Path, help="Keep the answers, and raytl's runs, below this folder.")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    rows = [Row(**json.loads(line)) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    if given.table:
        print(table(rows))
        return
    warnings.filterwarnings("ignore")
    done = {(each.data, each.size, each.seed, each.model, each.contender): each for each in rows}
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
            with given.out.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
            print(f"{name} {size} seed {job.seed} {job.model} {contender}: {found.accuracy:.1f} %, ECE {found.ece:.1f}, "
                  f"{found.steps} steps, {found.cpu_s:.0f} s", flush=True)  # fmt: skip
    shutil.rmtree("runs", ignore_errors=True) if not any(Path("runs").glob("*")) else None


if __name__ == "__main__":
    main()
