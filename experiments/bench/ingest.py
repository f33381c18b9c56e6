"""Measure data loading from a bucket: images/s and the time to the first batch, cold, streamed, pulled and decoded.

    python -m experiments.bench.ingest            # about 5 minutes on two cores
    python -m experiments.bench.ingest --quick    # a smoke test: few photos

nginx serves real photos on loopback (see `pull_store`). Each mode runs in its own process, and the modes take turns, round
by round, with the ceiling of the train bench (a plain PyTorch loop on tensors in memory), which loading must exceed.

    cold        an empty cache: list, pull, validate, decode into the cache, and read from it
    streamed    data.stream, data.cache off: every epoch reads images from the bucket; they were validated before
    pulled      files are cached and validated, data.cache off: every epoch decodes them
    decoded     decoded images are cached
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from experiments.bench.contenders import Setup
from experiments.bench.ingest_process import Ingest
from experiments.bench.photos import photos
from experiments.bench.pull_listing import BUCKET
from experiments.bench.pull_store import etag, served
from experiments.bench.train import contender, environment

ROOT = Path("build/bench/ingest")
MODEL, UNFREEZE = "mobilenetv2_100", 0
BATCH = 64
WAYS = ("cold", "streamed", "pulled", "decoded")
Results = dict[str, list[dict[str, float]]]


def in_bucket(source: Path, root: Path) -> int:
    """Copy the photos to where nginx serves them, below photos/; return their number."""
    rows = []
    for file in sorted(source.rglob("*.jpg")):
        key = f"photos/{file.relative_to(source).as_posix()}"
        target = root / "objects" / BUCKET / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        rows.append((key, file.stat().st_size, etag(file.read_bytes())))
    (root / "photos.json").write_text(json.dumps(rows), encoding="utf-8")
    return len(rows)


def ingest(way: str, uri: str, url: str, epochs: int, workers: int) -> dict[str, float]:
    """Run one process of one mode; `pulled` and `decoded` reuse the cache of `cold`, `streamed` has its own."""
    cache = ROOT / ("streamed" if way == "streamed" else "cache")
    if way == "cold":
        shutil.rmtree(cache, ignore_errors=True)
    decodes = way in ("cold", "decoded")
    data = {"uri": uri, "stream": way == "streamed", "cache": "on" if decodes else "off", "test_fraction": 0.0}
    job = Ingest(data, epochs, BATCH, workers)
    done = subprocess.run(
        [sys.executable, "-m", "experiments.bench.ingest_process", job.to_json()],
        env={**environment(1), **credentials(url), "RAYTL_CACHE": str(cache.resolve())},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{way} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    answer = json.loads(done.stdout)
    return {"first_batch_s": answer["first_batch_s"], "images_per_s": statistics.median(answer["images_per_s"])}


def credentials(url: str) -> dict[str, str]:
    """Return the environment for boto3; the server ignores signatures."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def rounds(count: int, url: str, epochs: int, seconds: float, workers: int) -> tuple[list[float], Results]:
    """Return the images/s of the ceiling and the results of each mode, by round."""
    threads = len(os.sched_getaffinity(0))
    setup = Setup("ceiling", MODEL, UNFREEZE, "bf16", BATCH, 224, threads, 0, "")
    ceilings: list[float] = []
    results: Results = defaultdict(list)
    uri = f"s3://{BUCKET}/photos"
    ingest("streamed", uri, url, 1, workers)  # validates the images, once for all rounds
    with contender(setup) as ceiling:
        for number in range(count):
            block = ceiling.block(seconds)
            ceilings.append(block["images"] / block["seconds"])
            for way in WAYS:
                results[way].append(ingest(way, uri, url, epochs, workers))
            rates = ", ".join(f"{way} {results[way][-1]['images_per_s']:.0f}" for way in WAYS)
            print(f"round {number + 1}: ceiling {ceilings[-1]:.0f}, {rates} images/s", file=sys.stderr, flush=True)
    return ceilings, results


def table(ceilings: list[float], results: Results) -> str:
    """Return medians, and medians of the ratios by round, as Markdown."""
    lines = ["| | first batch after | images/s | over the ceiling |", "|---|---|---|---|"]
    for way, runs in results.items():
        ratio = statistics.median(run["images_per_s"] / bound for run, bound in zip(runs, ceilings, strict=True))
        first = statistics.median(run["first_batch_s"] for run in runs)
        rate = statistics.median(run["images_per_s"] for run in runs)
        lines.append(f"| {way} | {first:.1f} s | {rate:.0f} | {ratio:.1f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few photos, one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1760)
    parser.add_argument("--workers", type=int, default=1, help="loader processes, as in training on these cores")
    given = parser.parse_args(arguments)
    images, count, epochs, seconds = (60, 1, 1, 0.5) if given.quick else (given.images, given.rounds, 2, 5.0)
    shutil.rmtree(ROOT, ignore_errors=True)
    source = photos(ROOT / "source", images)
    total = in_bucket(ROOT / "source", ROOT / "server")
    with served(ROOT / "server", {"photos": (total, 0)}) as bucket:
        ceilings, results = rounds(count, bucket.near, epochs, seconds, given.workers)
    print(table(ceilings, results))
    print(
        f"\nmedians of {count} rounds; {total} {source}, 224 px; {given.workers} loader process beside client and server on "
        f"{len(os.sched_getaffinity(0))} cores; ceiling {statistics.median(ceilings):.0f} images/s: {MODEL}, unfreeze "
        f"{UNFREEZE}, bf16, the fastest configuration of the train bench."
    )


if __name__ == "__main__":
    main()
