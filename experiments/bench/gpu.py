"""Check raytl on one GPU and measure it, in at most eight minutes, with nothing but this checkout: no network, no Ray.

    python experiments/bench/gpu.py                         # on a GPU
    python experiments/bench/gpu.py --device cpu --tiny     # the same code in seconds

It trains with raytl's own plan, worker and loop on drawn photos and checks: the losses of fp32, bf16 and fp16 against the
CPU's, the same bits of repeated and of resumed trainings, two ranks against one, NCCL, `train.compile`, and that no step
waits for the device. Then it prints images/s, MFU (of a matrix product measured here) and the loader's headroom of three networks beside a
loop written by hand. Exits 1 if a check fails.

Needs torch, torchvision, timm, pydantic, safetensors, numpy, scipy, Pillow and PyYAML. Where pydantic is missing, bring the
wheels of pydantic, pydantic-core, annotated-types and typing-inspection. Where Ray is there, two trials share the GPU too.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.util
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # also where raytl is not installed

NEEDED = ("torch", "torchvision", "timm", "pydantic", "safetensors", "numpy", "scipy", "PIL", "yaml")
MODELS = ("resnet50", "vit_small_patch16_224", "convnext_tiny")
TINY_MODELS = ("test_vit",)
LIMIT_S = 480.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks and measurements; return the exit code."""
    args = _arguments(arguments)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        print(f"gpu: {', '.join(missing)} cannot be imported; see the list in the head of {__file__}", file=sys.stderr)
        return 1
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; for deterministic trainings
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print("gpu: torch finds no GPU; run it on a machine with one, or with --device cpu --tiny", file=sys.stderr)
        return 1
    started = time.monotonic()
    print(_machine(args.device), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RAYTL_CACHE"] = str(Path(folder) / "cache")
        failed = _check(args, Path(folder))
        _measure(args, Path(folder), started)
    outcome = f"failed: {', '.join(failed)}" if failed else "all checks passed"
    print(f"\n{time.monotonic() - started:.0f} s; {outcome}")
    return 1 if failed else 0


def _check(args: argparse.Namespace, folder: Path) -> list[str]:
    """Run the checks and print a line for each; return the names of those that failed."""
    from experiments.bench.gpu_checks import chosen
    from experiments.bench.gpu_runs import Case, draw_photos

    failed: list[str] = []
    model, px, batch, train = ("test_vit", 32, 4, 16) if args.tiny else ("vit_tiny_patch16_224", 96, 16, 128)
    draw_photos(folder / "checks" / "photos", train, 8, px)
    case = Case(folder / "checks", "check", model, px, batch, args.device, lr=1e-3)
    for name, check in chosen(args.device).items():
        began = time.monotonic()
        try:
            result = f"ok: {check(case)}"
        except Exception as error:  # one check must not hide the others
            result, failed = f"FAILED: {type(error).__name__}: {error}", [*failed, name]
        print(f"{name} ({time.monotonic() - began:.0f} s): {result}", flush=True)
    return failed


def _measure(args: argparse.Namespace, folder: Path, started: float) -> None:
    """Measure the networks, as long as time is left, and print the table."""
    import torch

    from experiments.bench.gpu_rates import HEADER, peak_flops, rates
    from experiments.bench.gpu_runs import Case, draw_photos

    torch.use_deterministic_algorithms(False)
    px, batch, train = (32, 8, 32) if args.tiny else (224, args.batch, 12 * args.batch)
    draw_photos(folder / "rates" / "photos", train, 8, 2 * px if args.tiny else 256)
    peak = peak_flops(torch.device(args.device), 256 if args.tiny else 8192)
    print(f"\n{px} px, batches of {batch}, loader included; peak {peak / 1e12:.3g} TFLOP/s\n\n{HEADER}", flush=True)
    for model in TINY_MODELS if args.tiny else MODELS:
        if time.monotonic() - started > LIMIT_S * 0.8:
            print(f"| {model} | left out: {LIMIT_S * 0.8:.0f} s are over | | | | | |")
            continue
        case = Case(
            folder / "rates", model, model, px, batch, args.device, "auto", deterministic=False,
            loader_workers=0 if args.tiny else "auto",
        )  # fmt: skip
        print(rates(case, peak).row, flush=True)


def _machine(device: str) -> str:
    """Return the hardware and the versions."""
    import timm
    import torch
    import torchvision

    gpu = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, " if device == "cuda" else ""
    return (
        f"{gpu}{len(os.sched_getaffinity(0))} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}"
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny network on a few images: tests this program")
    parser.add_argument("--batch", type=int, default=256, help="images of a batch where rates are measured")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)  # a check that hangs fails
    sys.exit(main())
