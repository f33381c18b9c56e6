"""Measure what the samples of millions of images cost a worker: bytes sent, and memory before and after they are opened.

    python -m experiments.bench.many_samples 1000000      # one worker process, for real; prints JSON

The worker opens the table, makes the targets, the order of an epoch and the images, and reads the sample and the target of each
image of its part of an epoch: one of 512 ranks, or with `--all` every image, as one rank alone would. Nothing is decoded.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from raytl.data.sample_columns import Digests, Paths
from raytl.data.sample_file import shared
from raytl.data.sample_table import SampleTable
from raytl.data.texts import Coded, Texts

CLASSES = 1000
RANKS = 512
CACHE = "/home/user/.cache/raytl/pulled/0123456789abcdef01234567/files/"
WIDTH = 8


def table(count: int) -> SampleTable:
    """Return `count` samples such as `class-012/00123456.jpg` of 1,000 classes, each with its own digest."""
    numbers = np.arange(count, dtype=np.int64)
    texts = np.empty((count, len("class-000/") + WIDTH + len(".jpg")), np.uint8)
    texts[:] = np.frombuffer(b"class-000/" + b"0" * WIDTH + b".jpg", np.uint8)
    _digits(texts[:, 6:9], numbers * CLASSES // count)
    _digits(texts[:, 10 : 10 + WIDTH], numbers)
    ends = np.arange(count + 1, dtype=np.int64) * texts.shape[1]
    keys = Texts(texts.reshape(-1), ends)
    labels = Coded([f"class-{number:03d}" for number in range(CLASSES)], (numbers * CLASSES // count).astype(np.uint16))
    digests = np.random.default_rng(0).integers(1, 256, (count, 32), dtype=np.uint8)
    zeros = np.zeros(count, np.uint8)
    return SampleTable(
        keys, Paths(keys, Coded([CACHE], zeros), None), labels, Coded(["train"], zeros), Digests(digests)
    )


def _digits(columns: NDArray[np.uint8], numbers: NDArray[np.int64]) -> None:
    for place in range(columns.shape[1]):
        columns[:, -1 - place] = ord("0") + numbers // 10**place % 10


def measured(count: int, every: bool = False) -> dict[str, float]:
    """Return the bytes per key in the file and inline, the bytes sent to a worker, and the memory of a worker process."""
    samples = table(count)
    inline = len(pickle.dumps(samples[: min(count, 100_000)], protocol=5)) / min(count, 100_000)
    with TemporaryDirectory() as folder:
        began = time.process_time()
        sent = pickle.dumps(shared(samples, folder, inline=0), protocol=5)
        written_s = time.process_time() - began
        (file,) = Path(folder).rglob("*.arrow")
        size = file.stat().st_size
        del samples
        (Path(folder) / "job").write_bytes(sent)
        command = [sys.executable, "-m", __spec__.name if __spec__ else "", "--worker", f"{folder}/job"]
        done = subprocess.run(command + ["--all"] * every, check=True, stdout=subprocess.PIPE, text=True)
    return {
        "keys": count,
        "file_bytes": size / count,
        "inline_bytes": inline,
        "sent_bytes": len(sent),
        "write_s": written_s,
        **json.loads(done.stdout),
    }


def worker(job: Path, every: bool) -> dict[str, float]:
    """Open the samples as a training worker does, and return the growth of this process's memory in bytes."""
    from raytl.data import shard
    from raytl.data.images import FileImages
    from raytl.data.transforms import Preprocess
    from raytl.tasks.classification.targets import class_counts, label_encoder

    preprocess = Preprocess(224, 256, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    classes = [f"class-{number:03d}" for number in range(CLASSES)]
    pickle.loads(pickle.dumps(table(10)))
    __import__("pyarrow")  # its own memory is not that of the samples
    before, began = _memory(), time.process_time()
    samples = pickle.loads(job.read_bytes())
    opened_s = time.process_time() - began
    images, encoder = FileImages(samples, preprocess, 10**6), label_encoder(samples, classes)
    assert sum(class_counts(samples, classes).values()) == len(images)
    order = shard.epoch_order(len(images), 0, 0)
    read = 0
    for i in order if every else shard.rank_part(order, 0, RANKS):
        read += len(samples[int(i)].path) + encoder.truth(int(i))
    after, peak = _memory(), _status("VmHWM")
    return {
        "private_bytes": after["RssAnon"] - before["RssAnon"],
        "mapped_bytes": after["RssFile"] - before["RssFile"],
        "peak_growth_bytes": peak - before["RssAnon"] - before["RssFile"],
        "open_s": opened_s,
        "cpu_s": time.process_time() - began,
        "checksum": read,
    }


def _memory() -> dict[str, int]:
    return {name: _status(name) for name in ("RssAnon", "RssFile")}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Measure one number of images, or be the worker of such a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keys", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--all", action="store_true", help="read every sample in the order of the epoch")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    result = worker(options.worker, options.all) if options.worker else measured(options.keys, options.all)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
