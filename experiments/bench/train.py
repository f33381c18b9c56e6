"""`make bench`: images/s and memory of `raytl train`, compared with the ceiling of the machine and a common peer.

Each contender runs in its own process with the same number of threads, and the contenders take turns, round by round, so
that a slowdown of the machine affects all of them: ceiling, raytl, peer (fp32), peer (bf16). The table shows medians.

    python -m experiments.bench.train            # about 20 minutes on two cores
    python -m experiments.bench.train --quick    # a smoke test: small models and images
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from experiments.bench import memory
from experiments.bench.contenders import Setup
from experiments.bench.photos import photos

ROOT = Path("runs/bench")
# a fair choice of precision: raytl's default on this machine
PRECISION = (
    "import torch; from raytl.models.forward import pick_precision; "
    "print(pick_precision('auto', torch.device('cpu')) == torch.bfloat16)"
)


@dataclass(frozen=True)
class Plan:
    """The plan of the bench: `rounds` blocks of `seconds` on `images` photos."""

    models: tuple[str, ...]
    unfreezes: tuple[int | str, ...]
    rounds: int
    seconds: float
    images: int
    batch: int
    threads: int
    px: int | None
    precision: str


@dataclass
class Rates:
    """Images/s of one model at one depth, by round; memory in bytes."""

    model: str
    unfreeze: int | str
    ceiling: list[float] = field(default_factory=list)
    raytl: list[float] = field(default_factory=list)
    raytl_first: list[float] = field(default_factory=list)
    peer_fp32: list[float] = field(default_factory=list)
    peer_bf16: list[float] = field(default_factory=list)
    command_s: list[float] = field(default_factory=list)
    resident_bytes: list[float] = field(default_factory=list)
    proportional_bytes: list[float] = field(default_factory=list)
    largest_bytes: list[float] = field(default_factory=list)
    peer_bytes: list[float] = field(default_factory=list)
    cache_bytes: int = 0


class Contender:
    """A process of `contenders` that trains in blocks on request."""

    def __init__(self, setup: Setup) -> None:
        command = [sys.executable, "-m", "experiments.bench.contenders", setup.to_json()]
        self.process = subprocess.Popen(
            command, env=environment(setup.threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read("ready")

    def block(self, seconds: float) -> dict[str, float]:
        """Return images, seconds and memory of a block of about `seconds`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        answer: dict[str, float] = json.loads(self._read())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _read(self, expected: str = "") -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line or (expected and line != expected):
            raise SystemExit(f"a contender of the bench ended early (printed {line!r}); see its error above")
        return line


@contextmanager
def contender(setup: Setup) -> Iterator[Contender]:
    """Run the process of a contender in the context."""
    opened = Contender(setup)
    try:
        yield opened
    finally:
        opened.close()


def environment(threads: int) -> dict[str, str]:
    """Return the environment of all contenders; idle threads sleep, as in raytl, because spinning would starve loaders."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "RAYTL_CACHE": str((ROOT / "cache").resolve()),
    }


def bench(plan: Plan, model: str, unfreeze: int | str) -> Rates:
    """Measure all contenders of one model at one depth, in turns."""
    rates = Rates(model, unfreeze)
    shutil.rmtree(ROOT / "cache", ignore_errors=True)
    with ExitStack() as stack:
        ceiling = stack.enter_context(contender(setup(plan, "ceiling", model, unfreeze, plan.precision)))
        peers = {p: stack.enter_context(contender(setup(plan, "peer", model, unfreeze, p))) for p in ("fp32", "bf16")}
        for number in range(plan.rounds):
            block = ceiling.block(plan.seconds)
            rates.ceiling.append(block["images"] / block["seconds"])
            raytl_round(plan, rates, number)
            for precision, into in (("fp32", rates.peer_fp32), ("bf16", rates.peer_bf16)):
                block = peers[precision].block(plan.seconds)
                into.append(block["images"] / block["seconds"])
                rates.peer_bytes.append(block["bytes"])
            print(progress(rates), file=sys.stderr, flush=True)
    rates.cache_bytes = sum(file.stat().st_size for file in (ROOT / "cache").rglob("*") if file.is_file())
    return rates


def setup(plan: Plan, name: str, model: str, unfreeze: int | str, precision: str) -> Setup:
    """Return the setup of a contender."""
    return Setup(
        contender=name,
        model=model,
        unfreeze=unfreeze,
        precision=precision,
        batch=plan.batch,
        px=plan.px or 224,
        threads=plan.threads,
        loader_workers=2,
        data=str(ROOT / "photos"),
    )


def raytl_round(plan: Plan, rates: Rates, number: int) -> None:
    """Run one `raytl train` command, and read its rates from the metrics of the run."""
    epochs = 1 + min(12, max(2, round(plan.seconds * rates.ceiling[-1] / plan.images)))
    path = ROOT / "experiment.yaml"
    path.write_text(yaml.safe_dump(experiment(plan, rates, epochs, number)), encoding="utf-8")
    ran = memory.run([sys.executable, "-m", "raytl", "train", str(path), "--json"], environment(plan.threads))
    if ran.code:
        raise SystemExit(f"raytl train ended with {ran.code}:\n{ran.stderr[-4000:]}")
    run = Path(json.loads(ran.stdout.strip().splitlines()[-1])["run"])
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    later = sum(record["train/seconds"] for record in records[1:])
    rates.raytl_first.append(records[0]["train/images_per_s"])
    rates.raytl.append(sum(r["train/images_per_s"] * r["train/seconds"] for r in records[1:]) / later)
    rates.command_s.append(ran.seconds)
    rates.resident_bytes.append(ran.resident_bytes)
    rates.proportional_bytes.append(ran.proportional_bytes)
    rates.largest_bytes.append(ran.largest_bytes)


def experiment(plan: Plan, rates: Rates, epochs: int, number: int) -> dict[str, Any]:
    """Return the experiment: defaults except for the common setup, without later stages or early stopping."""
    transfer: dict[str, Any] = {"unfreeze": rates.unfreeze}
    if rates.unfreeze != 0:
        transfer["head_first"] = 0
    return {
        "name": f"{rates.model}-{rates.unfreeze}-round-{number}",
        "recipe": "none",
        "data": {"uri": str(ROOT / "photos"), "test_fraction": 0.0, "on_duplicate": "drop"},
        "model": {"name": rates.model, "weights": "none"},
        "transfer": transfer,
        "optim": {"lr": 1e-4},
        "train": {"epochs": epochs, "batch_size": plan.batch, "early_stop": 0},
        "storage": {"uri": str(ROOT / "runs")},
    }


def progress(rates: Rates) -> str:
    """Return one line after a round."""
    last = {name: getattr(rates, name)[-1] for name in ("ceiling", "raytl", "peer_fp32", "peer_bf16")}
    speeds = ", ".join(f"{name} {value:.0f}" for name, value in last.items())
    return f"{rates.model} unfreeze {rates.unfreeze}: {speeds} images/s"


def table(results: list[Rates]) -> str:
    """Return a Markdown table; ratios are medians over rounds."""
    head = (
        "| model | unfreeze | ceiling | raytl | first epoch | raytl / ceiling | peer fp32 | peer bf16 | raytl / better peer "
        "| peak PSS, all processes | peak RSS | largest process | peer's PSS |"
    )
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for rates in results:
        of_ceiling = median([a / b for a, b in zip(rates.raytl, rates.ceiling, strict=True)])
        best = [max(pair) for pair in zip(rates.peer_fp32, rates.peer_bf16, strict=True)]
        of_peer = median([a / b for a, b in zip(rates.raytl, best, strict=True)])
        speeds = [median(values) for values in (rates.ceiling, rates.raytl, rates.raytl_first)]
        peers = [median(values) for values in (rates.peer_fp32, rates.peer_bf16)]
        sizes = [
            max(values) / 1e9
            for values in (rates.proportional_bytes, rates.resident_bytes, rates.largest_bytes, rates.peer_bytes)
        ]
        cells = [rates.model, str(rates.unfreeze), *(f"{v:.0f}" for v in speeds), f"**{of_ceiling:.2f}**"]
        cells += [*(f"{v:.0f}" for v in peers), f"**{of_peer:.2f}**", *(f"{v:.2f} GB" for v in sizes)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def notes(plan: Plan, results: list[Rates], source: str, seconds: float) -> str:
    """Explain the numbers of the table, and report the cost of decoding once."""
    spared = [rates.command_s[0] - min(rates.command_s[1:]) for rates in results if len(rates.command_s) > 1]
    cache = max(rates.cache_bytes for rates in results)
    cost = f"; validating and decoding the files once took {median(spared):.1f} s" if spared else ""
    return (
        f"images/s, medians of {plan.rounds} rounds; batch {plan.batch}, {plan.threads} threads, ceiling and raytl in "
        f"{plan.precision}, {plan.images} {source}. raytl decodes once: {cache / 1e6:.0f} MB of cache for "
        f"{plan.images} photos{cost}. PSS counts memory that processes share once, RSS once for each; raytl's includes Ray. "
        f"The bench took {seconds / 60:.1f} minutes."
    )


def chosen(arguments: list[str] | None = None) -> Plan:
    """Return the plan from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: small models, one short round")
    parser.add_argument("--models", nargs="+", default=["mobilenetv2_100", "vit_tiny_patch16_224"])
    parser.add_argument("--unfreeze", nargs="+", default=["0", "2", "all"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a block")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args(arguments)
    unfreezes = tuple(depth if depth == "all" else int(depth) for depth in given.unfreeze)
    bf16 = subprocess.run([sys.executable, "-c", PRECISION], capture_output=True, text=True, check=True).stdout.strip()
    precision = "bf16" if bf16 == "True" else "fp32"
    if given.quick:
        return Plan(("test_resnet",), unfreezes[-1:], 1, 0.5, 48, 16, given.threads, 160, precision)
    return Plan(
        tuple(given.models),
        unfreezes,
        given.rounds,
        given.seconds,
        given.images,
        given.batch,
        given.threads,
        None,
        precision,
    )


def main() -> None:
    """Measure and print."""
    plan, started = chosen(), time.monotonic()
    source = photos(ROOT / "photos", plan.images)
    shutil.rmtree(ROOT / "runs", ignore_errors=True)
    results = [bench(plan, model, unfreeze) for model in plan.models for unfreeze in plan.unfreezes]
    text = f"{table(results)}\n\n{notes(plan, results, source, time.monotonic() - started)}\n"
    (ROOT / "train.md").write_text(text, encoding="utf-8")
    (ROOT / "train.json").write_text(json.dumps([vars(rates) for rates in results], indent=1), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
