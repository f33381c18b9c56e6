"""Measure a bundle on this machine: the time of a call, start-up, size and memory. Imports neither torch nor Ray.

A call is `Model.outputs`: photos in memory in, outputs out; decoding is not part of it. The models of a comparison take
turns, so that what else runs on the machine slows all of them alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.bundle.client import Model, Pixels, decoded, view_of
from raytl.bundle.opening import OpenBundle, open_bundle
from raytl.bundle.processor import Processor, pinned, this_processor
from raytl.cpus import usable_cpus
from raytl.errors import ModelError, UserError
from raytl.gc_pause import gc_paused

BATCHES = (1, 32)
SECONDS = 5.0
PHOTO_PX = (640, 480)
"""Width and height of the photos that are drawn if none are given."""
_WARM_UP_S = 0.5
_MIN_CALLS, _MIN_LONG_CALLS = 20, 5
_LONG_BATCH = 8
"""Photos of a call from which few calls do, as each takes long."""
_START_LIMIT_S = 120.0
_PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_MAX_BATCH = 1024
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """Calls with `batch` photos each: the median and the 99th percentile of `calls` calls, in milliseconds.

    `network_ms` is the median of the graph alone, None if preprocessing is part of the graph.
    """

    batch: int
    calls: int
    median_ms: float
    p99_ms: float
    network_ms: float | None

    @property
    def images_per_s(self) -> float:
        """Return the photos that one process answers in a second."""
        return 1000 * self.batch / self.median_ms


@dataclass(frozen=True, slots=True)
class Latency:
    """A bundle as measured on `processor`, on the pinned `cpus` (empty if the system cannot pin).

    `start_s` is the time from a new process to its first answer, `memory_bytes` the most that the process held, and `bytes`
    the size of the graph.
    """

    bundle: str
    model: str
    runtime: str
    precision: str
    input: str
    threads: int
    cpus: tuple[int, ...]
    processor: Processor
    photo_px: tuple[int, int]
    timings: tuple[Timing, ...]
    start_s: float
    memory_bytes: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        timings = [asdict(each) | {"images_per_s": each.images_per_s} for each in self.timings]
        return asdict(self) | {"timings": timings}


def bench(
    bundle: str | os.PathLike[str],
    *,
    threads: int = 1,
    batches: Sequence[int] = BATCHES,
    seconds: float = SECONDS,
    photos: str | os.PathLike[str] | None = None,
) -> Latency:
    """Return the latency of `bundle` on this machine, with `threads` threads on as many CPUs.

    Each of `batches` is measured for `seconds`. The photos are those in the folder `photos`, else 640 x 480 pixels of noise.

    Raises:
        ModelError: it is not a bundle, it is damaged, or its runtime is not installed.
        UserError: more threads than CPUs, no photos, or a number below its range.
    """
    _check(threads, batches, seconds)
    folder = Path(bundle)
    with pinned(threads) as cpus:
        opened = open_bundle(folder, threads)
        pixels = drawn_photos() if photos is None else read_photos(Path(photos), opened.card.to_json()["view"])
        (timings,) = timed([opened.model], pixels, batches, seconds)
        start_s, memory = started(folder, threads, pixels[0].shape[1::-1])
    return latency_of(opened, folder, threads, cpus, pixels, timings, start_s, memory)


def latency_of(
    opened: OpenBundle,
    folder: Path,
    threads: int,
    cpus: tuple[int, ...],
    photos: Sequence[Pixels],
    timings: tuple[Timing, ...],
    start_s: float,
    memory_bytes: int,
) -> Latency:
    """Return the measurements of a bundle with what its card says."""
    card, (height, width, _) = opened.card, photos[0].shape
    return Latency(
        bundle=str(folder),
        model=card.model,
        runtime=card.runtime,
        precision=card.precision,
        input=card.input,
        threads=threads,
        cpus=cpus,
        processor=this_processor(),
        photo_px=(width, height),
        timings=timings,
        start_s=start_s,
        memory_bytes=memory_bytes,
        bytes=graph_bytes(opened),
    )


def graph_bytes(opened: OpenBundle) -> int:
    """Return the size of the graph with the files of its weights: everything but the client and records about it."""
    records = (".py", ".json", ".npy", ".txt", ".md")
    return sum(entry.bytes for name, entry in opened.card.files.items() if not name.endswith(records))


def timed(
    models: Sequence[Model], photos: Sequence[Pixels], batches: Sequence[int], seconds: float
) -> list[tuple[Timing, ...]]:
    """Return the timings of each model, in the order of `batches`; the models take turns for `seconds` each."""
    by_batch = [_timed_batch(models, photos, batch, seconds) for batch in batches]
    return [tuple(each) for each in zip(*by_batch, strict=True)]


def _timed_batch(models: Sequence[Model], photos: Sequence[Pixels], batch: int, seconds: float) -> list[Timing]:
    chosen = [photos[i % len(photos)] for i in range(batch)]
    calls: list[Call] = [lambda model=model: model.outputs(chosen) for model in models]  # type: ignore[misc]
    least = _MIN_LONG_CALLS if batch >= _LONG_BATCH else _MIN_CALLS
    whole = call_times_ms(calls, seconds, least)
    views = [_views(model, chosen) for model in models]
    alone: list[Call] = [
        lambda model=model, view=view: model.network(view)  # type: ignore[misc]
        for model, view in zip(models, views, strict=True)
        if view is not None
    ]
    networks = iter(call_times_ms(alone, seconds / 2, least) if alone else [])
    return [
        Timing(
            batch,
            len(times_ms),
            float(np.median(times_ms)),
            float(np.percentile(times_ms, 99)),
            None if view is None else float(np.median(next(networks))),
        )
        for times_ms, view in zip(whole, views, strict=True)
    ]


def call_times_ms(calls: Sequence[Call], seconds: float, least: int = _MIN_CALLS) -> list[NDArray[np.float64]]:
    """Return the milliseconds of every call of each of `calls`, which take turns for about `seconds` each and at least `least`
    times, after a warm-up."""
    times: list[list[float]] = [[] for _ in calls]
    with gc_paused():
        for call in calls:
            _warm_up(call)
        end = time.perf_counter() + seconds * len(calls)
        while time.perf_counter() < end or len(times[0]) < least:
            for place, call in enumerate(calls):
                began = time.perf_counter_ns()
                call()
                times[place].append((time.perf_counter_ns() - began) / 1e6)
    return [np.array(each) for each in times]


def started(folder: Path, threads: int, size: tuple[int, int] = PHOTO_PX) -> tuple[float, int]:
    """Return the seconds from a new process to its first answer, and the most memory that it held.

    Raises:
        ModelError: the process failed; with the last line that it wrote.
    """
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "raytl.bundle.startup", str(folder), str(threads), *map(str, size)]
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_START_LIMIT_S, env=os.environ | {"PYTHONPATH": path}
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{folder}: no answer {_START_LIMIT_S:.0f} s after its start; export the model again"
        ) from error
    elapsed = time.perf_counter() - began
    if done.returncode:
        reason = next(iter(reversed(done.stderr.strip().splitlines())), f"exit code {done.returncode}")
        raise ModelError(f"{folder}: a new process cannot run it ({reason}); export the model again")
    return elapsed, int(done.stdout.split()[-1])


def drawn_photos(count: int = 8, size: tuple[int, int] = PHOTO_PX, seed: int = 0) -> list[Pixels]:
    """Return photos of noise: the time of a network does not depend on what they show."""
    width, height = size
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def read_photos(folder: Path, view: dict[str, Any], limit: int = 32) -> list[Pixels]:
    """Return the first photos in a folder, decoded.

    Raises:
        UserError: there is no photo, or one cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PHOTOS)[:limit]
    if not files:
        raise UserError(f"--photos {folder}: no photos; expected a folder with images such as .jpg or .png")
    return [_photo(path, view) for path in files]


def _photo(path: Path, view: dict[str, Any]) -> Pixels:
    try:
        return decoded(path, view)
    except (OSError, ValueError) as error:
        raise UserError(f"--photos: {path} cannot be read ({error}); remove it") from error


def _views(model: Model, photos: Sequence[Pixels]) -> Pixels | None:
    """Return the views of the photos, None if the graph makes them."""
    if model.card["input"] == "photo":
        return None
    return np.stack([view_of(photo, model.card["view"]) for photo in photos])


def _warm_up(call: Call) -> None:
    end = time.perf_counter() + _WARM_UP_S
    call()
    while time.perf_counter() < end:
        call()


def _check(threads: int, batches: Sequence[int], seconds: float) -> None:
    cpus = usable_cpus()
    if not 1 <= threads <= cpus:
        raise UserError(f"threads: found {threads}; expected 1 to {cpus}, the CPUs that this process may use")
    if not batches or not all(1 <= batch <= _MAX_BATCH for batch in batches):
        raise UserError(
            f"batch: found {', '.join(map(str, batches)) or 'none'}; expected numbers from 1 to {_MAX_BATCH:,}"
        )
    if not 0 < seconds <= 3600:
        raise UserError(f"seconds: found {seconds:g}; expected more than 0 and at most 3600")
