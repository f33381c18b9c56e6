"""The checks of `gpu`: each trains with raytl's own loop and returns what it found, or raises `Failed`."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import statistics
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from experiments.bench.gpu_runs import (
    Case,
    Interrupted,
    differing,
    every_step,
    fit,
    interrupt_at,
    last_checkpoint,
    prepared,
)
from raytl.events import Event, Resumed, Step
from raytl.training.checkpoint import Progress
from raytl.training.phase import open_phase
from raytl.training.steps import train_epoch
from raytl.world import World

TOLERANCE = {"fp32": 0.01, "bf16": 0.05, "fp16": 0.05}
"""The largest difference of a step's loss from that of the CPU in fp32, over the loss of the first step. Convolutions in
fp32 use TF32 on a GPU; bf16 has 8 bits."""
RANKS_TOLERANCE = 1e-3
"""Two ranks add the same numbers in another order."""


class Failed(Exception):
    """A check found something else than it expected."""


def parity(case: Case) -> str:
    """Check that the losses of all steps on the device are those of the CPU in fp32, and that they fall."""
    case = case.named("parity", epochs=3, lr=5e-4)
    reference = fit(case.named("parity-cpu", device="cpu", precision="fp32"))
    epoch = len(reference) // 3
    if not statistics.mean(reference[-epoch:]) < statistics.mean(reference[:epoch]):
        raise Failed(f"the loss did not fall from the first to the last of 3 epochs: {reference}")
    found = []
    for precision in ("fp32", "bf16", "fp16") if case.device == "cuda" else ("bf16",):
        losses = fit(case.named(f"parity-{precision}", precision=precision))
        worst = max(abs(a - b) for a, b in zip(losses, reference, strict=True)) / reference[0]
        found.append(f"{precision} {worst:.2%} of {TOLERANCE[precision]:.0%}")
        if not worst <= TOLERANCE[precision]:
            raise Failed(
                f"{precision} differs from fp32 on the CPU by {worst:.2%}; expected {TOLERANCE[precision]:.0%}"
            )
    return f"{len(reference)} steps, loss {reference[0]:.3f} to {reference[-1]:.3f}; largest difference: {', '.join(found)}"


def determinism(case: Case) -> str:
    """Check that two trainings with `train.deterministic` end with the same bits."""
    one, other = case.named("repeat-1"), case.named("repeat-2")
    if (first := fit(one)) != (second := fit(other)):
        raise Failed(f"losses differ: {first} and {second}")
    if names := differing(last_checkpoint(one), last_checkpoint(other)):
        raise Failed(f"{len(names)} tensors differ, among them {names[0]}")
    return f"{len(first)} losses and all weights are equal to the bit"


def resume(case: Case) -> str:
    """Check that a training that was stopped in the middle of its second epoch ends with the same bits."""
    precision = "fp16" if case.device == "cuda" else "fp32"  # with the state of the gradient scaler
    whole = case.named("whole", epochs=2, checkpoint_every_s=1e-9, precision=precision)
    broken, places = whole.named("broken"), list[Resumed]()
    fit(whole)
    with contextlib.suppress(Interrupted):
        fit(broken, interrupt_at(2, 3))
    fit(broken, lambda event: places.append(event) if isinstance(event, Resumed) else None)
    if not places or places[0].step == 0:
        raise Failed(f"expected to resume inside an epoch, found {places}")
    if names := differing(last_checkpoint(whole), last_checkpoint(broken)):
        raise Failed(f"{len(names)} tensors differ, among them {names[0]}")
    return f"resumed at epoch {places[0].epoch}, step {places[0].step}; all weights are equal to the bit"


def no_waits(case: Case) -> str:
    """Check with torch's own detection that no step makes the host wait for the GPU."""
    with closing(prepared(case.named("waits", deterministic=False, precision="bf16"))) as run:
        epoch = epoch_of(run)
        epoch(0)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                epoch(1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [
        str(each.message).splitlines()[0] + f" ({each.filename}:{each.lineno})"
        for each in seen
        if "synchroniz" in str(each.message)
    ]
    if waits:
        raise Failed(f"{len(waits)} waits in {run.context.loader.steps} steps: {'; '.join(sorted(set(waits))[:4])}")
    return f"no wait in {run.context.loader.steps} steps"


def epoch_of(run: Any) -> Callable[[int], int]:
    """Return a function that trains one epoch with raytl's steps, without validation, and returns its images."""
    context = run.context
    phase = open_phase(
        run.backbone, run.stages[-1], run.stages, context.experiment, context.world, context.device, None
    )
    if context.average is not None:
        context.average.track(phase.tracked_tensors())
    return lambda number: train_epoch(context, phase, Progress(epoch=number), lambda _: None).progress.seen


def ranks(case: Case) -> str:
    """Check that two ranks take the same steps as one: over NCCL with two GPUs, else over gloo on one device."""
    alone = _losses([World.solo()], case.named("alone"), "gloo")
    backend = "nccl" if torch.cuda.device_count() > 1 and case.device == "cuda" else "gloo"
    both = _losses([World(rank, 2, rank) for rank in range(2)], case.named("both"), backend)
    worst = max(abs(a - b) for a, b in zip(both, alone, strict=True)) / alone[0]
    if not worst <= RANKS_TOLERANCE:
        raise Failed(f"losses differ by {worst:.2%}; expected {RANKS_TOLERANCE:.1%}: {alone} and {both}")
    return f"two ranks over {backend}: {len(alone)} losses differ from those of one by at most {worst:.4%}"


def nccl(case: Case) -> str:
    """Check DDP, sums and their readback over NCCL against gloo, in groups of one process with half of each batch."""
    gloo, found = (_losses([World(0, 2, 0)], case.named(f"one-{each}"), each) for each in ("gloo", "nccl"))
    if not max(abs(a - b) for a, b in zip(gloo, found, strict=True)) <= RANKS_TOLERANCE * gloo[0]:
        raise Failed(f"losses differ: over gloo {gloo}, over NCCL {found}")
    return f"{len(found)} steps, loss {found[0]:.3f} to {found[-1]:.3f}, as over gloo"


def compiled(case: Case) -> str:
    """Check that a network compiled with `train.compile` learns what it learns otherwise, in bf16."""
    case = case.named("eager", deterministic=False, precision="bf16", lr=5e-4)
    eager, found = fit(case), fit(case.named("compiled", compile=True))
    worst = max(abs(a - b) for a, b in zip(eager, found, strict=True)) / eager[0]
    if not worst <= TOLERANCE["bf16"]:
        raise Failed(f"losses differ by {worst:.2%}; expected {TOLERANCE['bf16']:.0%}: {eager} and {found}")
    return f"{len(found)} losses differ by at most {worst:.2%}"


def _losses(worlds: Sequence[World], case: Case, backend: str) -> list[float]:
    """Return the loss of each step of an epoch on a process for each of `worlds`."""
    context = multiprocessing.get_context("spawn" if case.device == "cuda" else "fork")
    queue, meeting = context.SimpleQueue(), case.folder / f"meet-{case.name}"
    prepared(case.named("plan")).close()
    processes = [context.Process(target=_member, args=(w, len(worlds), case, backend, meeting, queue)) for w in worlds]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise Failed(f"processes of {case.name} ended with {[process.exitcode for process in processes]}; see above")
    losses: list[float] = queue.get()
    return losses


def _member(world: World, members: int, case: Case, backend: str, meeting: Path, queue: Any) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if case.device == "cuda":
        torch.cuda.set_device(world.rank % torch.cuda.device_count())
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=world.rank, world_size=members)
    losses: list[float] = []

    def emit(event: Event) -> None:
        if isinstance(event, Step):
            losses.append(event.loss)

    with every_step(), closing(prepared(case.named(f"{case.name}-{world.rank}"), emit, world)) as run:
        epoch_of(run)(0)
    if world.is_main:
        queue.put(losses)
    dist.destroy_process_group()


def fractions(case: Case) -> str:
    """Check that two trials share one GPU through Ray (`compute.trial_gpus: 0.5`)."""
    import ray

    root = str(Path(__file__).resolve().parents[2])
    ray.init(num_gpus=1, num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": root}})
    try:
        trial = ray.remote(num_gpus=0.5, num_cpus=1)(_trial)
        found = ray.get([trial.remote(case.named(f"trial-{number}")) for number in range(2)])
    finally:
        ray.shutdown()
    if found[0] != found[1]:
        raise Failed(f"two equal trials on one GPU gave other losses: {found}")
    return f"two trials on half a GPU each, {len(found[0])} equal losses"


def _trial(case: Case) -> list[float]:
    return fit(case)


def chosen(device: str) -> dict[str, Callable[[Case], str]]:
    """Return the checks that this machine can run on `device`, by name."""
    checks = {
        "parity with the CPU": parity,
        "determinism": determinism,
        "resume inside an epoch": resume,
        "ranks": ranks,
    }
    if device == "cuda":
        checks |= {"no host waits in a step": no_waits, "NCCL": nccl, "train.compile": compiled}
        if importlib.util.find_spec("ray"):
            checks["trials on fractions of a GPU"] = fractions
    return checks
