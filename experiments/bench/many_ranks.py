"""Start 512 ranks without torch, and count what they ask of a bucket and of the coordinator actor.

    python -m experiments.bench.many_ranks            # prints JSON

The ranks are threads: 64 processes of 8 play the start of a run from a bucket, each process with the cache of a node of its
own, against an HTTP server that counts the requests. Then 16 Ray actors of 32 send heartbeats and events with raytl's own
senders to its coordinator actor (512 Ray processes would need 40 GB).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from experiments.bench.many_samples import table
from experiments.bench.pull_listing import page

NODES, RANKS_PER_NODE = 64, 8
ACTORS = 16
BUCKET = "bench"


class Bucket(ThreadingHTTPServer):
    """One bucket in memory that counts requests by kind."""

    daemon_threads, request_queue_size = True, 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.objects: dict[str, bytes] = {}
        self.counts = Counter[str]()
        self.lock = threading.Lock()


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").lstrip("/")

    def _count(self, kind: str) -> None:
        with self.server.lock:
            self.server.counts[kind] += 1
            if kind != "LIST":
                self.server.counts["of samples"] += ".samples/" in self.path

    def do_GET(self) -> None:
        key, query = self._key(), parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if not key:
            self._count("LIST")
            rows = sorted((name, len(content), _etag(content)) for name, content in self.server.objects.items())
            self._send(200, page(rows, {name: values[0] for name, values in query.items()}))
            return
        self._count("GET")
        content = self.server.objects.get(key)
        if content is None:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        start, end = self._range(len(content))
        self._send(206 if "Range" in self.headers else 200, content[start:end], content, start)

    def _range(self, size: int) -> tuple[int, int]:
        if "Range" not in self.headers:
            return 0, size
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1) if last else size

    def do_HEAD(self) -> None:
        self._count("HEAD")
        content = self.server.objects.get(self._key())
        self._send(404 if content is None else 200, content or b"", content, is_head=True)

    def do_PUT(self) -> None:
        self._count("PUT")
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            content = _unchunked(content)
        self.server.objects[self._key()] = content
        self._send(200, b"", content)

    def do_DELETE(self) -> None:
        self._count("DELETE")
        self.server.objects.pop(self._key(), None)
        self._send(204, b"")

    def _send(
        self, status: int, body: bytes, whole: bytes | None = None, start: int = 0, *, is_head: bool = False
    ) -> None:
        self.send_response_only(status)
        if whole is not None:
            self.send_header("ETag", f'"{_etag(whole)}"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if status == 206 and whole is not None:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not is_head:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def _unchunked(content: bytes) -> bytes:
    """Return the content of a body in chunks with signatures or trailing checksums."""
    parts = []
    while content:
        head, _, content = content.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if not size:
            break
        parts.append(content[:size])
        content = content[size + 2 :]
    return b"".join(parts)


def _etag(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@contextmanager
def bucket() -> Iterator[Bucket]:
    """Serve an empty bucket, and point S3 clients of this process and its children to it."""
    server = Bucket()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    try:
        yield server
    finally:
        server.shutdown()


def starts(keys: int, nodes: int = NODES) -> dict[str, Any]:
    """Return the requests of the driver and of all ranks while a run of `keys` images starts, and the seconds of it."""
    from raytl.data.sample_file import shared
    from raytl.run.run_store import RunStore

    uri = f"s3://{BUCKET}/runs/x"
    with TemporaryDirectory() as folder, bucket() as server:
        os.environ["RAYTL_CACHE"] = f"{folder}/driver"
        run_store = RunStore(uri)
        run_store.fetch()
        for name in ("experiment.yaml", "samples.jsonl", "classes.json", "provenance.json", "skipped.jsonl"):
            run_store.folder.root.mkdir(parents=True, exist_ok=True)
            (run_store.folder.root / name).write_bytes(b"x" * 100)
        run_store.push()
        sent = pickle.dumps(shared(table(keys), uri))
        driver, began = dict(server.counts), time.monotonic()
        server.counts.clear()
        fork = multiprocessing.get_context("fork")  # 64 imports of boto3 would take most of the time
        count = fork.Value("q", 0)
        processes = [fork.Process(target=node, args=(f"{folder}/{at}", uri, sent, count)) for at in range(nodes)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert count.value == keys * nodes * RANKS_PER_NODE, "every rank reads every sample's record"
        return {
            "ranks": nodes * RANKS_PER_NODE,
            "keys": keys,
            "driver": driver,
            "all_ranks": dict(server.counts),
            "seconds": time.monotonic() - began,
            "file_bytes": max(map(len, server.objects.values())),
            "job_bytes": len(sent),
        }


def node(cache: str, uri: str, sent: bytes, count: Any) -> None:
    """Start the ranks of one node, which share its cache."""
    os.environ["RAYTL_CACHE"] = cache
    from raytl.run.run_store import RunStore
    from raytl.store import s3

    s3.forget_client()

    fetched = threading.Barrier(RANKS_PER_NODE)

    def rank(number: int) -> int:
        samples, run_store = pickle.loads(sent), RunStore(uri)
        if number == 0:  # as raytl.training.worker does
            run_store.fetch()
        fetched.wait()
        run_store.use_fetched()
        assert (run_store.folder.root / "classes.json").exists(), "the node has the run"
        return len(samples)

    with ThreadPoolExecutor(RANKS_PER_NODE) as ranks:
        opened = sum(ranks.map(rank, range(RANKS_PER_NODE)))
    with count.get_lock():
        count.value += opened


class Ranks:
    """An actor that plays several ranks: each has a thread with raytl's own loop of heartbeats."""

    def beat(self, ranks: range, size: int, actor: Any, seconds: float) -> tuple[list[float], int]:
        """Send heartbeats for some time; return the seconds of each round trip, and the events that rank 0 sent."""
        from raytl.cluster.coordinator import EventSender
        from raytl.cluster.heartbeat_sender import _send
        from raytl.events import Message
        from raytl.world import World

        stop, trips, sent = threading.Event(), list[float](), 0
        timed = _Timed(actor, trips)
        worlds = [World(rank, size, rank % RANKS_PER_NODE, RANKS_PER_NODE) for rank in ranks]
        threads = [
            threading.Thread(target=_send, args=(world, timed, 0, threading.get_ident(), stop), daemon=True)
            for world in worlds
        ]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for world in worlds:
                world.status.begin("training")
            if ranks.start == 0:
                EventSender(actor, worlds[0].status)(Message(f"step {sent}"))
                sent += 1
            time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join(30)
        return trips, sent


class _Timed:
    """The coordinator actor, with the round trips of heartbeats measured from the call to the collected answer."""

    def __init__(self, actor: Any, trips: list[float]) -> None:
        self._actor, self._trips = actor, trips
        self.heartbeat = self

    def remote(self, *given: Any) -> Any:
        began, answer = time.monotonic(), self._actor.heartbeat.remote(*given)
        answer.future().add_done_callback(lambda _: self._trips.append(time.monotonic() - began))
        return answer


def channel(seconds: float, ranks: int = NODES * RANKS_PER_NODE) -> dict[str, Any]:
    """Return what 512 ranks send to the coordinator in some time, how fast it answers, and its processor seconds."""
    import psutil
    import ray

    from raytl.cluster.coordinator import coordinator
    from raytl.cluster.session import session

    events: list[Any] = []
    each = ranks // ACTORS
    with session("local"), coordinator(events.append) as workers:
        workers.begin(0)
        kind: Any = ray.remote(num_cpus=0)(Ranks)
        actors = [kind.remote() for _ in range(ACTORS)]
        ray.get([actor.beat.remote(range(0), ranks, workers.actor, 0) for actor in actors])  # started
        (process,) = [each for each in psutil.process_iter() if "_CoordinatorActor" in " ".join(each.cmdline())]
        before, own_before = sum(process.cpu_times()[:2]), time.process_time()
        running = [
            actor.beat.remote(range(at * each, (at + 1) * each), ranks, workers.actor, seconds)
            for at, actor in enumerate(actors)
        ]
        ages: list[float] = []
        ready: list[Any] = []
        while len(ready) < len(running):  # the driver looks every second (raytl.cluster.watch)
            ready, _ = ray.wait(running, num_returns=len(running), timeout=1)
            heartbeats = workers.heartbeats()
            ages.append(max((heartbeat.age_s for heartbeat in heartbeats), default=0.0))
        used, own = sum(process.cpu_times()[:2]) - before, time.process_time() - own_before
        parts = ray.get(running)
        in_actor = len(workers.heartbeats())
    trips = sorted(trip for part, _ in parts for trip in part)
    return {
        "ranks": ranks,
        "processes": ACTORS,
        "seconds": seconds,
        "ranks_heard": in_actor,
        "heartbeats": len(trips),
        "heartbeats_per_s": len(trips) / seconds,
        "round_trip_median_s": trips[len(trips) // 2],
        "round_trip_p99_s": trips[len(trips) * 99 // 100],
        "oldest_heartbeat_s": max(ages),
        "events_sent": sum(count for _, count in parts),
        "events_received": len(events),
        "coordinator_cores": used / seconds,
        "driver_cores": own / seconds,
    }


def played(quick: bool = False) -> dict[str, Any]:
    """Return the counts of both parts; `quick` is a smoke test with 4 nodes and 5 seconds."""
    return {
        "starts": starts(30_000 if quick else 100_000, 4 if quick else NODES),
        "channel": channel(5 if quick else 30),
    }


def main() -> None:
    """Run both, and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: 4 nodes, 5 seconds")
    print(json.dumps(played(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
