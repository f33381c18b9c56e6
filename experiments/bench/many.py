"""Estimate the load of 64 nodes with 8 GPUs on Ray's head, the store and the listing, from unit costs measured here.

    python -m experiments.bench.many           # about five minutes
    python -m experiments.bench.many --quick   # a smoke test

No cluster of that size is run. Each line of the tables shows the value measured on this machine and the product.
Results are in build/bench/many.json, the tables in build/bench/many.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pickle
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.bench.pull_listing import BUCKET, MILLION, Million, _Handler

RESULTS = Path("build/bench/many.json")
NODES, GPUS = 64, 8
RANKS = NODES * GPUS
STEP_EVENTS_S = 2
"""Step events per second from the main rank (raytl.training.steps)."""
HEARTBEAT_EVERY_S = 4
"""Seconds between two heartbeats of a rank other than 0 (raytl.cluster.heartbeat_sender)."""
MODEL_BYTES = 100e6
"""Weights of a network such as ResNet-50 in fp32; a last checkpoint has them three times (AdamW)."""
S3_GETS_S, S3_PUTS_S, NODE_BYTES_S = 5500, 3500, 1.25e9
"""The documented request rates of S3 per prefix, and 10 Gbit/s per node."""


def channel(senders: int, each: int) -> dict[str, float]:
    """Return the events/s that the coordinator actor receives and forwards from `senders` concurrent senders."""
    import ray

    from raytl.cluster.coordinator import EventSender, coordinator
    from raytl.cluster.session import session
    from raytl.events import Event, Message
    from raytl.worker_status import WorkerStatus

    heard: list[float] = []

    def hear(event: Event) -> None:
        heard.append(time.perf_counter())

    def flood(sender: Any, count: int) -> None:
        for number in range(count):
            sender(Message(f"{number}"))

    processes = 4
    with session("local"):
        with coordinator(hear) as workers:
            sender = EventSender(workers.actor, WorkerStatus())
            flooding = ray.remote(num_cpus=0.1)(flood)
            ray.get([flooding.remote(sender, 1) for _ in range(processes)])
            began = time.perf_counter()
            ray.get([flooding.remote(sender, senders * each // processes) for _ in range(processes)])
            while len(heard) < senders * each + processes and time.perf_counter() - began < 120:
                time.sleep(0.05)
            took = heard[-1] - began
        starts = actor_starts(8)
    return {"events_per_s": len(heard) / took, "actor_start_s": starts}


def actor_starts(count: int) -> float:
    """Return the seconds per actor if `count` actors start at once on this machine."""
    import ray

    class Idle:
        def here(self) -> int:
            return os.getpid()

    kind: Any = ray.remote(num_cpus=0)(Idle)
    began = time.perf_counter()
    ray.get([kind.remote().here.remote() for _ in range(count)])
    return (time.perf_counter() - began) / count


class Counted:
    """A store that counts its calls."""

    def __init__(self, store: Any) -> None:
        self._store, self.calls = store, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        if not callable(member):
            return member

        def call(*given: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return member(*given, **named)

        return call


def requests() -> dict[str, dict[str, int]]:
    """Count the requests of a working copy: one that is current, one that is fetched, and an uploaded checkpoint."""
    from raytl.run.mirror import BEST, LAST, Mirror
    from raytl.run.uploader import Uploader
    from raytl.store.lease import take
    from raytl.store.memory import MemoryStore

    files = {
        BEST: ("model.safetensors", "model.json", "validation.json"),
        LAST: ("model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"),
    }
    counts = {}
    with TemporaryDirectory() as folder:
        store = Counted(MemoryStore(folder))
        take(MemoryStore(folder))
        here = Mirror(store, Path(folder, "here"))  # type: ignore[arg-type]
        uploader = Uploader(here)

        def stored() -> None:
            for name, inner in files.items():
                (here.root / name).mkdir(parents=True, exist_ok=True)
                for each in inner:
                    (here.root / name / each).write_bytes(os.urandom(10))
            (here.root / "metrics.jsonl").write_bytes(os.urandom(10))
            for name in files:
                uploader.submit(name)
            uploader.flush()

        def count_calls(action: Callable[[], None]) -> dict[str, int]:
            store.calls.clear()
            action()
            return dict(store.calls)

        stored()
        counts["a checkpoint (best and last)"] = count_calls(stored)
        there = Mirror(store, Path(folder, "there"))  # type: ignore[arg-type]
        counts["a node's first rank fetches the run"] = count_calls(there.fetch)
        counts["every other rank finds it there"] = count_calls(there.fetch)
        uploader.close()
    return counts


class _Tcp(ThreadingHTTPServer):
    rows: tuple[()] = ()
    million = Million()


def listing(prefix: str) -> dict[str, float]:
    """Return the seconds per key of an S3 listing, from a server in its own process."""
    from raytl.store import s3
    from raytl.store.open import open_store

    server = _Tcp(("127.0.0.1", 0), _Handler)
    serving = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    serving.start()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    s3.forget_client()
    try:
        began = time.perf_counter()
        count = sum(1 for _ in open_store(f"s3://{BUCKET}/{prefix}").list())
        return {"keys": count, "s_per_key": (time.perf_counter() - began) / count}
    finally:
        serving.kill()


def snapshot(count: int) -> dict[str, float]:
    """Return the seconds and bytes per key of the samples that the driver sends to every worker."""
    from raytl.data.manifest import Sample, dataset_digest
    from raytl.store.contract import ObjectInfo

    tracemalloc.start()
    infos = [ObjectInfo(f"class-{at // 1000:03d}/{at:06d}.jpg", 15360, f"{at:032x}") for at in range(count)]
    of_infos = tracemalloc.get_traced_memory()[0]
    cache = "/home/user/.cache/raytl/pulled/0123456789abcdef01234567/files"
    samples = [Sample(info.key, f"{cache}/{info.key}", info.key[:9], "train", 2 * info.etag) for info in infos]
    of_samples = tracemalloc.get_traced_memory()[0] - of_infos
    tracemalloc.stop()
    began = time.perf_counter()
    dataset_digest(samples)
    digest_s = time.perf_counter() - began
    began = time.perf_counter()
    sent = len(pickle.dumps(samples, protocol=5))
    sent_s = time.perf_counter() - began
    return {
        "info_bytes": of_infos / count,
        "sample_bytes": of_samples / count,
        "digest_s": digest_s / count,
        "pickled_bytes": sent / count,
        "pickle_s": sent_s / count,
    }


def head_table(results: dict[str, Any]) -> str:
    """Return the table of the head, from the rates of one actor and one machine."""
    rate, start = results["channel"]["events_per_s"], results["channel"]["actor_start_s"]
    all_events, heartbeats = RANKS * STEP_EVENTS_S, RANKS / HEARTBEAT_EVERY_S
    return "\n".join(
        [
            "| the head | measured here | load of a run with 512 ranks | limit |",
            "|---|---|---|---|",
            f"| events to the coordinator actor | {rate:,.0f} /s | {STEP_EVENTS_S} /s: only the main rank sends "
            f"| {rate / STEP_EVENTS_S:,.0f} concurrent runs; if all ranks sent: {all_events:,} /s, {rate / all_events:.1f} runs |",
            f"| heartbeats | the same | {heartbeats:,.0f} /s: each rank every {HEARTBEAT_EVERY_S:g} s "
            f"| {rate / heartbeats:.1f} times as many ranks |",
            f"| actor starts | {start:.2f} s each on this machine | {GPUS} a node, on all nodes at once "
            f"| {start * GPUS:.1f} s on a node like this one; the head only places {RANKS} actors |",
        ]
    )


def store_table(results: dict[str, Any]) -> str:
    """Return the table of the store, from the requests of one rank, one node and one checkpoint."""
    calls = {what: sum(kinds.values()) for what, kinds in results["requests"].items()}
    first, other = calls["a node's first rank fetches the run"], calls["every other rank finds it there"]
    start = NODES * first + (RANKS - NODES) * other
    fetched = NODES * 4 * MODEL_BYTES
    each = calls["a checkpoint (best and last)"]
    return "\n".join(
        [
            "| the store | measured: requests | 64 nodes x 8 | limit |",
            "|---|---|---|---|",
            f"| start of a new run | {other} per rank | {RANKS * other:,} requests "
            f"| {RANKS * other / S3_GETS_S:.1f} s at {S3_GETS_S:,} /s |",
            f"| start of a resumed run | {first} per node, {other} per other rank | {start:,} requests, {fetched / 1e9:.0f} GB "
            f"| {4 * MODEL_BYTES / NODE_BYTES_S:.1f} s at 10 Gbit/s per node |",
            f"| a checkpoint | {each} | {each}, {4 * MODEL_BYTES / 1e9:.1f} GB: only the main rank uploads "
            f"| one in {4 * MODEL_BYTES / NODE_BYTES_S:.1f} s at 10 Gbit/s |",
            f"| a sweep of {RANKS} trials with checkpoints | {each} | {RANKS * each:,} per round "
            f"| {RANKS * each / S3_PUTS_S:.0f} s at {S3_PUTS_S:,} /s at least between rounds |",
        ]
    )


def data_table(results: dict[str, Any]) -> str:
    """Return the table of listing and snapshot, for one and ten million images."""
    costs, per_key = results["snapshot"], results["listing"]["s_per_key"]
    lines = ["| data, from costs per key | 1 M images | 10 M images |", "|---|---|---|"]

    def row(what: str, render: Callable[[float], str]) -> None:
        lines.append(f"| {what} | {render(1e6)} | {render(1e7)} |")

    row(f"listing, {per_key * 1e6:.1f} us per key: seconds on each node", lambda n: f"{n * per_key:.0f} s")
    row("LIST requests of 64 nodes, by one rank each", lambda n: f"{NODES * n / 1000:,.0f}")
    row("the same if all 512 ranks listed", lambda n: f"{RANKS * n / 1000:,.0f}")
    row(
        f"samples in a process, {costs['sample_bytes']:.0f} B per key",
        lambda n: f"{n * costs['sample_bytes'] / 1e9:.1f} GB",
    )
    row("the same on a node of 8 ranks", lambda n: f"{GPUS * n * costs['sample_bytes'] / 1e9:.1f} GB")
    row(f"sent to each worker, {costs['pickled_bytes']:.0f} B", lambda n: f"{n * costs['pickled_bytes'] / 1e9:.2f} GB")
    row("sent by the driver to 64 nodes", lambda n: f"{NODES * n * costs['pickled_bytes'] / 1e9:.0f} GB")
    row("snapshot id", lambda n: f"{n * costs['digest_s']:.1f} s")
    return "\n".join(lines)


def main() -> None:
    """Measure, multiply, save and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few events and keys")
    quick = parser.parse_args().quick
    results: dict[str, Any] = {
        "requests": requests(),
        "snapshot": snapshot(20_000 if quick else 200_000),
        "listing": listing(f"{MILLION}/class-000" if quick else MILLION),
        "channel": channel(RANKS, 4 if quick else 40),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = "\n\n".join(table(results) for table in (head_table, store_table, data_table)) + "\n"
    RESULTS.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
