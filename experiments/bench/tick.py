"""Measure a tick with unchanged data: its number of requests and its time.

    python -m experiments.bench.tick [--images 2500 20000]

Uses a local moto server; a listing has a thousand keys per page.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from experiments.month import served
from raytl.config.schema import Experiment
from raytl.registry.record import About
from raytl.registry.registry import Registry
from raytl.retraining.changes import Changes
from raytl.retraining.observe import listing_digest
from raytl.retraining.tick import retrain
from raytl.retraining.ticks import Tick, write_tick
from raytl.store import s3

_NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
_ROUNDS = 5


def _filled(bucket: str, images: int) -> Experiment:
    """Create a bucket with `images` objects, and a registry whose last tick saw them."""
    client = s3.client()
    client.create_bucket(Bucket=bucket)
    with ThreadPoolExecutor(16) as pool:
        keys = (f"photos/class-{i % 10}/{i:06d}.jpg" for i in range(images))
        list(pool.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
    experiment = Experiment.model_validate(
        {
            "name": "bench", "recipe": "none", "data": {"uri": f"s3://{bucket}/photos"}, "model": {"name": "test_resnet"},
            "retrain": {"registry": f"s3://{bucket}/models/bench"},
        }
    )  # fmt: skip
    registry = Registry.open(f"s3://{bucket}/models/bench")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").write_text("x")
        about = About("x", ("a", "b"), {}, "", "", "", {}, None, "", "", None, "", _NOW.isoformat())
        registry.publish(Path(folder), about)
    registry.promote(1, registry.state(), "bench", "the first")
    tick = Tick(
        "20261120T060000Z-0000", "2026-11-20T06:00:00+00:00", "bench", "done", "promote", listing=listing_digest(experiment),
        champion=1, trained=1, trained_at="2026-11-20T06:00:00+00:00", changes=Changes("5" * 64, 1),
    )  # fmt: skip
    write_tick(registry.store, tick)
    return experiment


def main() -> None:
    """Measure, and print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[2500, 20000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url:
        os.environ.update(
            AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1"
        )
        s3.forget_client()
        for number, images in enumerate(given.images):
            print(_measured(f"bench-{number}", images))


def _measured(bucket: str, images: int) -> str:
    """Return a line with the requests by kind and the median time."""
    requests: Counter[str] = Counter()
    s3.client().meta.events.register(
        "before-send.s3", lambda event_name, **_: requests.update([event_name.rpartition(".")[2]])
    )
    experiment = _filled(bucket, images)
    took: list[float] = []
    for turn in range(_ROUNDS):
        requests.clear()
        began = time.monotonic()
        result: Any = retrain(experiment, now=_NOW + timedelta(hours=turn))
        took.append(time.monotonic() - began)
        assert result.tick.outcome == "skip"
    s3.forget_client()
    kinds = ", ".join(f"{count} {what}" for what, count in sorted(requests.items()))
    return f"{images:>7,} images: {sum(requests.values())} requests ({kinds}), {1000 * statistics.median(took):.0f} ms"


if __name__ == "__main__":
    main()
