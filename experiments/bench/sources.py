"""Measure what FixMatch and the losses of domain adaptation give: accuracy on the test split, against the same steps without.

    python -m experiments.bench.sources fixmatch ASSETS --out fixmatch.jsonl
    python -m experiments.bench.sources adapt ASSETS --out adapt.jsonl
    python -m experiments.bench.sources table fixmatch.jsonl

Each line of the output is one run. A run that is in the output already is not repeated. The pool of images without labels is
drawn from the training split; the target of `adapt` is the same photos in another style (gray negatives with hard edges).
Test images are those of the set, so no image is in two places.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy.stats import t

import raytl
from raytl.data.perceptual_hash import nearest, phashes
from raytl.data.sample import Sample

SETS = {"trash": "datasets/trashnet_256", "signs": "datasets/sign_digits_100"}
WEIGHTS = "weights/mobilenetv2_100_tv.safetensors"
BUDGETS = (10, 25)
"""Labelled images of each class."""
SEEDS = (0, 1, 2)
STEPS, BATCH, PX = 100, 16, 96
POOL, VAL, TEST = 600, 10, 400
"""Images without labels, validation images of each class, and test images."""
LABELLED = 40
"""Labelled images of each class for `adapt`."""


def runs(kind: str) -> Iterator[dict[str, Any]]:
    """Yield the settings of each run of a benchmark."""
    for seed in SEEDS:
        for name in SETS if kind == "fixmatch" else ("trash",):
            for budget in BUDGETS if kind == "fixmatch" else (LABELLED,):
                for method in ("none", "fixmatch") if kind == "fixmatch" else ("none", "coral", "mmd", "dann"):
                    yield {"kind": kind, "set": name, "budget": budget, "method": method, "seed": seed}


def measured(run: dict[str, Any], assets: Path, folder: Path) -> dict[str, Any]:
    """Train one run and return its settings with the accuracy on the test split and the seconds of training."""
    counted = laid_out(run, assets / SETS[run["set"]], folder)
    pool, method = str(folder / "pool"), {"method": run["method"]}
    sections: dict[str, Any] = {"few": method} if run["kind"] == "fixmatch" else {"adapt": {**method, "target": pool}}
    unlabelled = {"unlabelled": pool} if run["method"] == "fixmatch" else {}
    experiment = raytl.Experiment(
        name=f"bench-{run['method']}",
        data={"uri": str(folder / "data"), **unlabelled},
        model={"name": "mobilenetv2_100", "weights": str(assets / WEIGHTS), "preprocess": {"image_px": PX}},
        recipe="none",
        transfer={"unfreeze": 2, "head_start": "solved", "head_first": 0, "fallback": "off"},
        train={
            "epochs": max(1, round(STEPS / -(-counted // BATCH))),
            "batch_size": BATCH,
            "early_stop": 0,
            "seed": run["seed"],
            "precision": "fp32",
        },
        compute={"cluster": "none", "device": "cpu"},
        storage={"uri": str(folder / "runs")},
        **({} if run["method"] == "none" else sections),
    )
    began = time.process_time()
    trained = raytl.train(experiment, progress=False)
    seconds = time.process_time() - began
    report = trained.evaluate(progress=False)
    return {**run, "accuracy": accuracy(report), "seconds": round(seconds, 1)}


def accuracy(report: Any) -> float:
    """Return the accuracy on the test split."""
    metrics = report.metrics
    return float(metrics["accuracy"] if "accuracy" in metrics else metrics["test/accuracy"])


def laid_out(run: dict[str, Any], source: Path, folder: Path, pool_images: int = POOL) -> int:
    """Copy the images of a run into `folder`, and up to `pool_images` others into its pool; return the number of labelled ones."""
    rng = np.random.default_rng(run["seed"])
    rest: list[Path] = []
    count = 0
    for of_class in sorted(path for path in (source / "train").iterdir() if path.is_dir()):
        files = rng.permutation(sorted(of_class.iterdir()))  # type: ignore[type-var]
        own, others = files[: run["budget"]], files[run["budget"] :]
        count += len(own)
        rest += list(others)
        _copied(own, folder / "data/train" / of_class.name)
        _copied(sorted((source / "val" / of_class.name).iterdir())[:VAL], folder / "data/val" / of_class.name)
    test = rng.permutation(sorted(path for path in (source / "test").rglob("*") if path.is_file()))[:TEST]  # type: ignore[type-var]
    for path in test:
        _copied([path], folder / "data/test" / path.parent.name, is_styled=run["kind"] == "adapt")
    pool = unlike(rng.permutation(rest)[:pool_images].tolist(), [*(source / "test").rglob("*.*")])  # type: ignore[arg-type]
    _copied(pool, folder / "pool", is_styled=run["kind"] == "adapt")
    return count


def unlike(pool: list[Path], test: list[Path]) -> list[Path]:
    """Return the images that do not look like a test image, which raytl would refuse."""
    samples = [
        Sample(str(path), str(path), None, "train", hashlib.sha256(path.read_bytes()).hexdigest())
        for path in [*pool, *test]
    ]
    hashes = phashes(samples, 10**8)
    looks = [hashes[sample.digest] for sample in samples]
    near = nearest(looks[: len(pool)], looks[len(pool) :])
    return [path for path, look in zip(pool, near, strict=True) if look is None]


def _copied(files: Any, folder: Path, is_styled: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        if is_styled:
            with Image.open(path) as image:
                styled(image.convert("RGB")).save(folder / f"{path.stem}.png")
        else:
            shutil.copy(path, folder / path.name)


def styled(image: Image.Image) -> Image.Image:
    """Return a photo in another style: a gray negative with hard edges and few tones."""
    gray = ImageOps.invert(ImageOps.autocontrast(image.convert("L"))).filter(ImageFilter.EDGE_ENHANCE_MORE)
    return ImageOps.posterize(gray, 3).convert("RGB")


def table(lines: list[dict[str, Any]]) -> str:
    """Return the mean and the range over seeds of each method, and its gain over none, as a Markdown table."""
    groups: dict[tuple[str, int, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        groups[line["set"], line["budget"], line["method"]][line["seed"]] = line
    rows = [
        "| set | labels a class | method | test accuracy % (each seed) | gain in points (95 %) | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for (name, budget, method), members in groups.items():
        each = {seed: 100 * member["accuracy"] for seed, member in members.items()}
        seconds = statistics.mean(member["seconds"] for member in members.values())
        without = groups[name, budget, "none"]
        gains = [value - 100 * without[seed]["accuracy"] for seed, value in each.items()]
        gain = "–" if method == "none" else interval(gains)
        text = ", ".join(f"{value:.1f}" for value in each.values())
        rows.append(
            f"| {name} | {budget} | {method} | {statistics.mean(each.values()):.1f} ({text}) | {gain} | {seconds:.0f} |"
        )
    return "\n".join(rows)


def interval(gains: Sequence[float]) -> str:
    """Return the mean gain over two or more seeds and its t-interval."""
    half = float(t.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / len(gains) ** 0.5
    mean = statistics.mean(gains)
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def main() -> None:
    """Run a benchmark, or print the table of its output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("fixmatch", "adapt", "table"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.kind == "table":
        print(table([json.loads(line) for line in given.path.read_text().splitlines()]))
        return
    done = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    known = [{key: line[key] for key in ("kind", "set", "budget", "method", "seed")} for line in done]
    for run in runs(given.kind):
        if run not in known:
            with tempfile.TemporaryDirectory() as folder, given.out.open("a") as out:
                out.write(json.dumps(measured(run, given.path, Path(folder))) + "\n")


if __name__ == "__main__":
    main()
