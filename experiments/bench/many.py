"""Measure and estimate the load of 64 nodes with 8 GPUs on Ray's head, the store, the listing and the memory of workers.

    python -m experiments.bench.many           # about ten minutes
    python -m experiments.bench.many --quick   # a smoke test

No cluster of that size is run: 512 ranks without torch start and send heartbeats for real (many_ranks), and one worker opens
the samples of a million and of ten million images (many_samples). The other lines show a unit cost and the product.
Results are in build/bench/many.json, the tables in build/bench/many.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.bench import many_ranks, many_samples
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


def digest(count: int) -> float:
    """Return the seconds of the snapshot id of this many samples."""
    from raytl.data.manifest import dataset_digest

    samples = many_samples.table(count)
    began = time.process_time()
    dataset_digest(samples)
    return time.process_time() - began


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
            _heartbeats(results["ranks"]["channel"]),
            f"| actor starts | {start:.2f} s each on this machine | {GPUS} a node, on all nodes at once "
            f"| {start * GPUS:.1f} s on a node like this one; the head only places {RANKS} actors |",
        ]
    )


def _heartbeats(played: dict[str, Any]) -> str:
    """Return the row of the ranks that sent heartbeats and events for real."""
    return (
        f"| {played['ranks']} ranks in {played['processes']} processes, {played['seconds']:.0f} s | {played['heartbeats_per_s']:.0f} "
        f"heartbeats/s arrive, {played['events_received']} of {played['events_sent']} events | round trip "
        f"{played['round_trip_median_s'] * 1e3:.0f} ms, p99 {played['round_trip_p99_s'] * 1e3:.0f} ms; the oldest was "
        f"{played['oldest_heartbeat_s']:.1f} s | the actor takes {played['coordinator_cores']:.2f} cores, the driver "
        f"{played['driver_cores']:.2f} |"
    )


def store_table(results: dict[str, Any]) -> str:
    """Return the table of the store, from the requests of one rank, one node and one checkpoint."""
    calls = {what: sum(kinds.values()) for what, kinds in results["requests"].items()}
    first = calls["a node's first rank fetches the run"]
    start = NODES * first
    fetched = NODES * 4 * MODEL_BYTES
    each = calls["a checkpoint (best and last)"]
    played = results["ranks"]["starts"]
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(played["all_ranks"].items()) if kind.isupper())
    requests = sum(count for kind, count in played["all_ranks"].items() if kind.isupper())
    return "\n".join(
        [
            "| the store | measured: requests | 64 nodes x 8 | limit |",
            "|---|---|---|---|",
            f"| start of a new run of {played['keys']:,} images, {played['ranks']} ranks for real | {counts} | {requests} requests, "
            f"{played['file_bytes'] / 1e6:.1f} MB of samples per node | {requests / S3_GETS_S:.1f} s at {S3_GETS_S:,} /s |",
            f"| start of a resumed run | {first} per node | {start:,} requests, {fetched / 1e9:.0f} GB "
            f"| {4 * MODEL_BYTES / NODE_BYTES_S:.1f} s at 10 Gbit/s per node |",
            f"| a checkpoint | {each} | {each}, {4 * MODEL_BYTES / 1e9:.1f} GB: only the main rank uploads "
            f"| one in {4 * MODEL_BYTES / NODE_BYTES_S:.1f} s at 10 Gbit/s |",
            f"| a sweep of {RANKS} trials with checkpoints | {each} | {RANKS * each:,} per round "
            f"| {RANKS * each / S3_PUTS_S:.0f} s at {S3_PUTS_S:,} /s at least between rounds |",
        ]
    )


def data_table(results: dict[str, Any]) -> str:
    """Return the table of listing and samples, for one and ten million images."""
    per_key, small, large = results["listing"]["s_per_key"], *results["samples"]
    names = " | ".join(f"{each['keys'] / 1e6:g} M images" for each in (small, large))
    lines = [f"| data | {names} |", "|---|---|---|"]

    def row(what: str, render: Callable[[dict[str, float]], str]) -> None:
        lines.append(f"| {what} | {render(small)} | {render(large)} |")

    row(
        f"listing, {per_key * 1e6:.1f} us per key: seconds on the driver's node",
        lambda each: f"{each['keys'] * per_key:.0f} s",
    )
    row("LIST requests of the driver's node", lambda each: f"{each['keys'] / 1000:,.0f}")
    row("LIST requests of the other nodes that pull or stream: the samples name the objects", lambda each: "0")
    row(
        "LIST requests of a node that has an older copy of some, and of 64 such nodes",
        lambda each: f"{each['keys'] / 1000:,.0f}; {NODES * each['keys'] / 1000:,.0f}",
    )
    row("samples sent to each worker", lambda each: f"{each['sent_bytes']:.0f} B")
    row("file of samples, once per node", lambda each: f"{each['file_bytes'] * each['keys'] / 1e6:.0f} MB")
    row("a worker's own memory for them, measured", lambda each: f"{each['private_bytes'] / 1e6:.0f} MB")
    row("pages of the file it maps, shared by the node", lambda each: f"{each['mapped_bytes'] / 1e6:.0f} MB")
    row("processor seconds to open them and read a rank's part", lambda each: f"{each['cpu_s']:.1f} s")
    row("snapshot id, processor seconds of the driver", lambda each: f"{each['keys'] * results['digest_s']:.1f} s")
    return "\n".join(lines)


def main() -> None:
    """Measure, multiply, save and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few events and keys")
    quick = parser.parse_args().quick
    results: dict[str, Any] = {
        "requests": requests(),
        "samples": [
            many_samples.measured(count) for count in ((20_000, 200_000) if quick else (1_000_000, 10_000_000))
        ],
        "digest_s": digest(20_000 if quick else 1_000_000) / (20_000 if quick else 1_000_000),
        "listing": listing(f"{MILLION}/class-000" if quick else MILLION),
        "channel": channel(RANKS, 4 if quick else 40),
        "ranks": many_ranks.played(quick),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = "\n\n".join(table(results) for table in (head_table, store_table, data_table)) + "\n"
    RESULTS.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
