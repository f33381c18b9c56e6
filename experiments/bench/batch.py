"""Predictions of photos in a bucket: raytl in parts beside a plain loop of boto3, Pillow and torch, after both have started.

    python -m experiments.bench.batch FOLDER [--photos 2000] [--rounds 3] [--model mobilenetv2_100] [--contenders plain here ray]

FOLDER holds what the bench makes: photos, weights and results. The bucket is moto's server, a process of its own, which takes
CPU time from all contenders alike. Each is a process; they take turns. The rate counts from the first batch to the last, so
neither the start of Ray nor the import of torch is in it; `seconds` is the whole time.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.bench.pull_store import free_port

BUCKET, PX, BATCH, CLASSES = "photos", 96, 16, ("a", "b", "c", "d", "e", "f")
CONTENDERS = ("plain", "here", "ray")
"""A plain loop, raytl in one process, and raytl with an actor for each CPU."""


def make_model(folder: Path, name: str) -> None:
    """Save a network with random weights, if it is missing."""
    import torch

    from raytl.config.schema import ModelConfig
    from raytl.models.backbone import build
    from raytl.models.saved_model import Card, save_model

    if (folder / "model.json").exists():
        return
    torch.manual_seed(0)
    backbone = build(ModelConfig(name=name, weights="none"), len(CLASSES))
    save_model(folder, backbone.module, Card(name, CLASSES, backbone.preprocess, backbone.weights_digest))


def upload(client: Any, count: int) -> None:
    """Put `count` small JPEGs of 50 scenes into the bucket."""
    draw, contents = np.random.default_rng(0), []
    for _ in range(50):
        file, scene = io.BytesIO(), draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(scene).resize((PX, PX), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        contents.append(file.getvalue())
    client.create_bucket(Bucket=BUCKET)
    with ThreadPoolExecutor(8) as pool:
        put = lambda i: client.put_object(Bucket=BUCKET, Key=f"in/{i:06d}.jpg", Body=contents[i % 50])  # noqa: E731
        list(pool.map(put, range(count)))


@contextmanager
def bucket(count: int) -> Iterator[None]:
    """Serve a bucket with `count` photos in the context."""
    import boto3

    port = free_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = boto3.client("s3")
        for _ in range(100):
            try:
                client.list_buckets()
                break
            except Exception:  # it is starting
                time.sleep(0.2)
        upload(client, count)
        yield
    finally:
        server.terminate()
        server.wait()


def plain(model: Path, out: Path) -> tuple[int, float]:
    """Predict with a loop as one writes it by hand; return the photos and the seconds after the first batch."""
    import boto3
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from botocore.config import Config

    from raytl.evaluation.predictor import load, saved_of

    saved = saved_of(load(model))
    module, preprocess = saved.module.eval(), saved.card.preprocess
    mean, std = torch.tensor(preprocess.mean)[:, None, None], torch.tensor(preprocess.std)[:, None, None]
    client = boto3.client("s3", config=Config(max_pool_connections=32))
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="in/")
    keys = [each["Key"] for page in pages for each in page["Contents"]]

    def view(key: str) -> torch.Tensor:
        content = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        image = Image.open(io.BytesIO(content)).convert("RGB")
        side, crop = preprocess.resize_px, preprocess.image_px
        image = image.resize((side, side), Image.Resampling.BICUBIC)
        border = (side - crop) // 2
        pixels = np.asarray(image.crop((border, border, border + crop, border + crop)))
        return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - mean) / std

    tables, began = [], 0.0
    with ThreadPoolExecutor(32) as pool, torch.inference_mode():
        views = pool.map(view, keys)
        for start in range(0, len(keys), BATCH):
            group = keys[start : start + BATCH]
            probabilities = module(torch.stack([next(views) for _ in group])).softmax(1).numpy()
            columns = {f"p_{name}": probabilities[:, i] for i, name in enumerate(CLASSES)}
            tables.append(pa.table({"path": group, **columns}))
            began = began or time.monotonic()
    pq.write_table(pa.concat_tables(tables), out / "plain.parquet")
    return len(keys) - BATCH, time.monotonic() - began


def parts(model: Path, out: str, workers: int) -> tuple[int, float]:
    """Predict with raytl in parts; return the photos and the seconds after the first that are done."""
    from raytl.batch_inference.driver import predict_in_parts
    from raytl.batch_inference.places import PartOptions
    from raytl.events import Event, Work

    seen: list[tuple[float, int]] = []

    def watch(event: Event) -> None:
        if isinstance(event, Work) and event.done:
            seen.append((time.monotonic(), event.done))

    predict_in_parts(
        model, f"s3://{BUCKET}/in/", out=out, parts=PartOptions(workers, new=True), batch_size=BATCH, on_event=watch
    )
    return seen[-1][1] - seen[0][1], seen[-1][0] - seen[0][0]


def measured(contender: str, folder: Path) -> dict[str, float]:
    """Return the rate and the whole time of one contender, in this process."""
    began, model, out = time.monotonic(), folder / "model", folder / "out"
    out.mkdir(exist_ok=True)
    cpus = len(os.sched_getaffinity(0))
    if contender == "plain":
        photos, seconds = plain(model, out)
    else:
        photos, seconds = parts(model, f"s3://{BUCKET}/out-{contender}/", 1 if contender == "here" else cpus)
    return {"per_s": photos / seconds, "seconds": time.monotonic() - began}


def main() -> None:
    """Run the contenders in turn and print their rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="mobilenetv2_100")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measured(given.only, given.folder)))
        return
    make_model(given.folder / "model", given.model)
    rates: dict[str, list[float]] = {name: [] for name in given.contenders}
    with bucket(given.photos):
        for turn in range(given.rounds):
            for name in given.contenders:
                command = [sys.executable, "-m", "experiments.bench.batch", str(given.folder), "--only", name]
                said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                found = json.loads(said.splitlines()[-1])
                rates[name].append(found["per_s"])
                print(
                    f"round {turn + 1}, {name}: {found['per_s']:.0f} photos/s, {found['seconds']:.1f} s in all",
                    flush=True,
                )
    base = statistics.median(rates.get("plain", [math.nan]))
    for name, values in rates.items():
        middle = statistics.median(values)
        print(
            f"{name}: {middle:.0f} photos/s ({min(values):.0f} to {max(values):.0f}), {middle / base:.2f} x the plain loop"
        )


if __name__ == "__main__":
    main()
