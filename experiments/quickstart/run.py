"""`make quickstart`: the gain of transfer learning on a small domain with ten labels per class, in a few minutes.

The source domain is letters rendered from fonts; the target domain is scikit-learn's scanned handwritten digits. A small
network is pretrained on the first, and learns the second in three ways: from scratch, with only its head, and fine-tuned
with the best settings of a small sweep. All are ordinary raytl runs of the experiment files beside this script; their
outputs are under runs/quickstart/.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

import raytl
from experiments.quickstart import glyphs
from raytl.cluster.session import session

if TYPE_CHECKING:
    from raytl.metrics.intervals import Interval

HERE = Path(__file__).parent
RUNS = Path("runs/quickstart")
LETTERS = {"train": 80, "val": 6}
LABELS, VALIDATION = 10, 5
NICHE = {
    "scratch": "from scratch",
    "head": "head only",
}
SWEPT = {"finetune": "fine-tuned"}


@dataclass(frozen=True)
class Way:
    """One way to learn the target domain, scored on the held-out test."""

    title: str
    accuracy: Interval
    trainable: int
    images: int
    seconds: float


def main() -> None:
    """Create both domains, pretrain, learn the target domain in three ways, and compare."""
    console, started = Console(stderr=True), time.monotonic()
    shutil.rmtree(RUNS, ignore_errors=True)
    with ExitStack() as stack:
        with ProcessPoolExecutor() as pool:
            letters = make_domains(pool, console)
            # start Ray and import slow modules while the letters are drawn
            stack.enter_context(session("local"))
            import_module("raytl.search.driver")
            for drawn in letters:
                drawn.result()
        run("source", console)
        ways = [evaluated(run(name, console), title, console) for name, title in NICHE.items()]
        ways += [evaluated(sweep(name, console), title, console) for name, title in SWEPT.items()]
    out = Console()
    out.print(table(ways))
    out.print(f"{verdict(ways)} ({time.monotonic() - started:.0f} s in all)")
    out.print(
        f"Runs, with curves and reports: {RUNS}/ (begin with {RUNS}/finetune-sweep/report.html)\n"
        "Your own images: copy experiments/quickstart/finetune.yaml, set data.uri and model.weights: pretrained, and\n"
        "  .venv/bin/raytl check my.yaml && .venv/bin/raytl tune my.yaml"
    )
    sys.exit(0 if separated(ways) else 1)


def make_domains(pool: Executor, console: Console) -> list[Future[None]]:
    """Start to draw the images of the source domain on `pool`, and write those of the target domain."""
    console.print(f"letters: {len(glyphs.GLYPHS)} classes x {sum(LETTERS.values())} pictures from fonts ...")
    letters = glyphs.begin(pool, RUNS / "data" / "letters", LETTERS)
    from experiments.quickstart import digits  # scikit-learn is slow to import

    counts = digits.write(RUNS / "data" / "digits", LABELS, VALIDATION)
    console.print(f"digits: {counts['train']} labelled scans for training, {counts['test']:,} held out")
    return letters


def run(name: str, console: Console) -> Path:
    """Train the experiment `name`, and return its run folder."""
    console.rule(f"raytl train experiments/quickstart/{name}.yaml")
    return raytl.train(HERE / f"{name}.yaml").path


def sweep(name: str, console: Console) -> Path:
    """Tune the experiment `name`, and return the run folder of the refitted winner."""
    console.rule(f"raytl tune experiments/quickstart/{name}.yaml")
    return raytl.tune(HERE / f"{name}.yaml").winner.path


def evaluated(folder: Path, title: str, console: Console) -> Way:
    """Evaluate the run in `folder` on its test split."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    report = raytl.evaluate(folder)
    return Way(
        title=title,
        accuracy=report.estimates.overall["accuracy"],
        trainable=trainable(folder),
        images=report.images,
        seconds=sum(record["train/seconds"] + record["val/seconds"] for record in records),
    )


def trainable(folder: Path) -> int:
    """Return the number of trainable parameters in the last stage of the run."""
    from safetensors import safe_open

    with safe_open(folder / "checkpoints" / "last" / "optimizer.safetensors", "pt") as state:
        names = {key.split("::")[0] for key in state.keys()}  # noqa: SIM118
    with safe_open(folder / "checkpoints" / "last" / "model.safetensors", "pt") as model:
        return sum(model.get_tensor(name).numel() for name in names)


def separated(ways: list[Way]) -> bool:
    """Return True if each way is better than the previous one, without overlap of their intervals."""
    return all(worse.accuracy.high < better.accuracy.low for worse, better in pairwise(ways))


def verdict(ways: list[Way]) -> str:
    """Return the result in a sentence."""
    if separated(ways):
        return "Fine-tuning outperforms head only, and head only outperforms scratch; their intervals do not overlap"
    return "The intervals overlap: transfer learning did NOT win as expected"


def table(ways: list[Way]) -> Table:
    """Return a table of the three ways."""
    caption = f"{ways[0].images:,} held-out scans, {LABELS} labels per class, equal numbers of epochs"
    rich_table = Table(title="Handwritten digits, after letters", caption=caption)
    for heading in ("", "test accuracy", "95 % interval", "trainable", "training"):
        rich_table.add_column(heading, justify="left" if not heading else "right")
    for way in ways:
        value, low, high = (100 * v for v in (way.accuracy.value, way.accuracy.low, way.accuracy.high))
        rich_table.add_row(
            way.title, f"{value:.1f} %", f"{low:.1f} - {high:.1f} %", f"{way.trainable:,}", f"{way.seconds:.0f} s"
        )
    return rich_table


if __name__ == "__main__":
    main()
