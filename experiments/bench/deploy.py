"""Compare the ways to run a finished run on this machine: eager torch and every bundle, in turns, as a table.

    python -m experiments.bench.deploy runs/trash-mobilenetv2 runs/trash-vit-tiny [--threads 1] [--seconds 5] [--out FOLDER]

All models of a run take turns, call by call, on pinned CPUs, so that what else runs on the machine slows all of them alike.
Prints the median of the network alone with one view, of a call with one photo of 640 x 480 px, and of a call with 32; how many
times faster the network is than eager torch and than ONNX Runtime in fp32; size, accuracy on validation, the time from a new
process to its first answer, and the most memory of that process.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.bench.measured import measured
from raytl.bundle.client import Pixels, view_of
from raytl.bundle.latency import Timing, drawn_photos, graph_bytes, started, timed
from raytl.bundle.opening import open_bundle
from raytl.bundle.processor import pinned, this_processor
from raytl.events import Event, Message
from raytl.exporting.compress.candidate import REFERENCE, UNTRAINED, possible
from raytl.exporting.compress.run_source import RunSource
from raytl.exporting.compress.variant import write_variant
from raytl.exporting.trained_run import open_run
from raytl.models.card import WEIGHTS
from raytl.models.temperature import temperature_of

EAGER = "eager torch"
_BATCHES = (1, 32)
_START = "import sys, numpy, raytl; raytl.load(sys.argv[1]).predict(numpy.full((480, 640, 3), 127, numpy.uint8))"


class Eager:
    """The saved network in eager torch, with the calls of a bundle's client."""

    def __init__(self, source: RunSource, view: dict[str, Any]) -> None:
        saved = source.run.saved
        self.module, self.temperature = saved.module, temperature_of(saved.module)
        mean, std = (
            torch.tensor(values).view(3, 1, 1) for values in (saved.card.preprocess.mean, saved.card.preprocess.std)
        )
        self.mean, self.scale = mean * 255, 1 / (std * 255)
        self.card: dict[str, Any] = {"input": "crop", "view": view}

    @torch.inference_mode()
    def network(self, views: Pixels) -> list[Any]:
        """Return the probabilities of views."""
        images = torch.from_numpy(np.ascontiguousarray(views)).permute(0, 3, 1, 2)
        logits = self.module(images.to(torch.float32).sub(self.mean).mul(self.scale))
        return [(logits / self.temperature).softmax(1).numpy()]

    def outputs(self, photos: Sequence[Pixels]) -> list[Any]:
        """Return the probabilities of photos."""
        return self.network(np.stack([view_of(photo, self.card["view"]) for photo in photos]))


@dataclass(frozen=True)
class Row:
    """A way to run the model, and its measurements."""

    name: str
    one: Timing
    many: Timing
    bytes: int
    score: float
    start_s: float
    memory_bytes: int


def rows_of(source: RunSource, folder: Path, threads: int, seconds: float) -> list[Row]:
    """Return the rows of a run; its bundles are written into `folder`."""
    candidates, skipped = possible(UNTRAINED, this_processor())
    for each in skipped:
        print(f"{each.name}: {each.reason}")
    for candidate in candidates:
        place = folder / candidate.name
        place.mkdir(parents=True)
        if candidate.name == REFERENCE:
            source.write_base(place)
        else:
            write_variant(folder / REFERENCE, place, candidate, source.calibration)
    verdicts = {each.name: source.judge(folder / each.name) for each in candidates}
    for name, verdict in verdicts.items():
        print(f"{name}: {verdict.reason or 'passes'}")
    torch.set_num_threads(threads)
    run = source.run.run_store.folder
    with pinned(threads):
        opened = [open_bundle(folder / each.name, threads) for each in candidates]
        models: list[Any] = [Eager(source, opened[0].model.card["view"]), *(each.model for each in opened)]
        timings = timed(models, drawn_photos(), _BATCHES, seconds)
        eager_start = measured(["python", "-c", _START, str(run.root)])
        starts = [started(folder / each.name, threads) for each in candidates]
    rows = [
        Row(
            EAGER, timings[0][0], timings[0][1], (run.best / WEIGHTS).stat().st_size, verdicts[REFERENCE].reference,
            eager_start.seconds, eager_start.peak_bytes,
        )
    ]  # fmt: skip
    for candidate, bundle, (one, many), (start_s, memory) in zip(candidates, opened, timings[1:], starts, strict=True):
        rows.append(
            Row(candidate.name, one, many, graph_bytes(bundle), verdicts[candidate.name].score, start_s, memory)
        )
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    base = {row.name: row.one.network_ms or row.one.median_ms for row in rows}
    lines = [
        "| runtime | network, 1 view | x eager | x ONNX fp32 | call, 1 photo | 99 % | call, 32 photos | size | accuracy | start-up | memory |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        own = base[row.name]
        lines.append(
            f"| {row.name} | {own:.2f} ms | {base[EAGER] / own:.2f} | {base[REFERENCE] / own:.2f} | {row.one.median_ms:.2f} ms "
            f"| {row.one.p99_ms:.2f} ms | {row.many.median_ms:.0f} ms | {row.bytes / 1e6:.1f} MB ({row.bytes / rows[0].bytes:.2f}) "
            f"| {100 * row.score:.1f} % | {row.start_s:.2f} s | {row.memory_bytes / 1e6:.0f} MB |"
        )
    return "\n".join(lines)


def say(event: Event) -> None:
    """Print a message."""
    if isinstance(event, Message):
        print(event.text, flush=True)


def main() -> None:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--max-drop", type=float, default=0.5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    processor = this_processor()
    print(f"{processor.name}: {', '.join(processor.flags)}; {arguments.threads} thread(s)")
    for run in arguments.runs:
        source = RunSource(open_run(run, None, say), arguments.max_drop, say)
        with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
            print(
                f"\n{source.name}\n\n{table(rows_of(source, Path(folder), arguments.threads, arguments.seconds))}",
                flush=True,
            )


if __name__ == "__main__":
    main()
