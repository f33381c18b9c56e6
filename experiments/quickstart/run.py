"""`make quickstart`: what transfer learning gains on a niche with ten labels a class, from nothing, in some minutes.

Letters rendered from fonts are the source domain; scikit-learn's scanned handwritten digits are the niche. A small
network is pretrained on the first and then learns the second in three ways: from scratch, with its head alone, and
fine-tuned as the best trial of a small sweep says. All are ordinary raytl runs from the experiment files beside this
script; what each takes and leaves can be looked at under runs/quickstart/.
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
    """One way to learn the niche, scored on the held-out test."""

    title: str
    accuracy: Interval
    trainable: int
    images: int
    seconds: float


def main() -> None:
    """Make both domains, pretrain, learn the niche in three ways, and compare."""
    console, started = Console(stderr=True), time.monotonic()
    shutil.rmtree(RUNS, ignore_errors=True)
    with ExitStack() as stack:
        with ProcessPoolExecutor() as pool:
            letters = make_domains(pool, console)
            # Ray starts, and what takes its time to import is imported, while the letters are drawn
            stack.enter_context(session("local"))
            import_module("raytl.search.driver")
            for drawn in letters:
                drawn.result()
        run("source", console)
        ways = [looked_at(run(name, console), title, console) for name, title in NICHE.items()]
        ways += [looked_at(sweep(name, console), title, console) for name, title in SWEPT.items()]
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
    """Begin to draw the pictures of the source domain on `pool`, and write those of the niche."""
    console.print(f"letters: {len(glyphs.GLYPHS)} classes x {sum(LETTERS.values())} pictures from fonts ...")
    letters = glyphs.begin(pool, RUNS / "data" / "letters", LETTERS)
    from experiments.quickstart import digits  # scikit-learn takes its time to import

    counts = digits.write(RUNS / "data" / "digits", LABELS, VALIDATION)
    console.print(f"digits: {counts['train']} labelled scans to learn from, {counts['test']:,} held out")
    return letters


def run(name: str, console: Console) -> Path:
    """Train the experiment `name`; its run folder."""
    console.rule(f"raytl train experiments/quickstart/{name}.yaml")
    return raytl.train(HERE / f"{name}.yaml").path


def sweep(name: str, console: Console) -> Path:
    """Search for the best way to train the experiment `name`; the run folder of the winner, trained again."""
    console.rule(f"raytl tune experiments/quickstart/{name}.yaml")
    return raytl.tune(HERE / f"{name}.yaml").winner.path


def looked_at(folder: Path, title: str, console: Console) -> Way:
    """The run in `folder`, its test split looked at."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = raytl.evaluate(folder)
    return Way(
        title=title,
        accuracy=found.estimates.overall["accuracy"],
        trainable=trainable(folder),
        images=found.images,
        seconds=sum(record["train/seconds"] + record["val/seconds"] for record in records),
    )


def trainable(folder: Path) -> int:
    """Parameters that learnt in the run's last stage."""
    from safetensors import safe_open

    with safe_open(folder / "checkpoints" / "last" / "optimizer.safetensors", "pt") as state:
        names = {key.split("::")[0] for key in state.keys()}  # noqa: SIM118
    with safe_open(folder / "checkpoints" / "last" / "model.safetensors", "pt") as model:
        return sum(model.get_tensor(name).numel() for name in names)


def separated(ways: list[Way]) -> bool:
    """True when each way beats the one before it beyond both intervals."""
    return all(worse.accuracy.high < better.accuracy.low for worse, better in pairwise(ways))


def verdict(ways: list[Way]) -> str:
    """The result in a sentence."""
    if separated(ways):
        return "Fine-tuned beats head only, and head only beats scratch, beyond their intervals"
    return "The ways are NOT separated beyond their intervals: transfer did not win as it should"


def table(ways: list[Way]) -> Table:
    """The three ways side by side."""
    caption = f"{ways[0].images:,} held-out scans, {LABELS} labels a class, the same few epochs for all"
    shown = Table(title="Handwritten digits, after letters", caption=caption)
    for heading in ("", "test accuracy", "95 % interval", "learning", "training"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for way in ways:
        value, low, high = (100 * v for v in (way.accuracy.value, way.accuracy.low, way.accuracy.high))
        shown.add_row(
            way.title, f"{value:.1f} %", f"{low:.1f} - {high:.1f} %", f"{way.trainable:,}", f"{way.seconds:.0f} s"
        )
    return shown


if __name__ == "__main__":
    main()
