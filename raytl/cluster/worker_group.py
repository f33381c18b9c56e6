"""Run one function on N workers of one torch process group, and replace them when they are lost.

Ray Train places the workers and starts and monitors the group. The function itself resumes from its last complete
checkpoint, so a lost worker, a lost controller and a killed driver are the same case.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from raytl.cluster.coordinator import EventSender, coordinator
from raytl.cluster.early import adopt
from raytl.cluster.heartbeat_sender import sending_heartbeats
from raytl.cluster.placement import Placement, place, runs_in_process
from raytl.cluster.process_state import preserved_state
from raytl.cluster.retry import EndedAttempt, GiveUp, decide, reason_of
from raytl.cluster.session import STARTED_HERE, for_group, session
from raytl.cluster.sigterm import exiting_on_sigterm
from raytl.cluster.watch import Watch, watching
from raytl.cluster.workers import Workers, started
from raytl.config.schema import ComputeConfig
from raytl.cpus import usable_cpus
from raytl.eager import defer_compiler
from raytl.events import Message, OnEvent, Restarted
from raytl.worker_status import Paused
from raytl.world import World

P = TypeVar("P", contravariant=True)
R = TypeVar("R", covariant=True)

_START_S = 120
"""Time limit for the workers of a group to find each other."""


class WorkerFunction(Protocol[P, R]):
    """The function that each worker runs: importable, called with its world, a picklable payload and an event callback.

    Once `world.status.pause_requested`, it may save a checkpoint and return `Paused`; it is then called again on new workers.
    """

    def __call__(self, world: World, payload: P, emit: OnEvent, /) -> R | Paused: ...


@dataclass(frozen=True, slots=True)
class _Call:
    """`work` is the function and its payload, pickled, like the result: Ray Train's controller passes both on, and would
    import torchvision and timm to unpickle values that it never uses."""

    work: bytes
    coordinator: Any
    attempt: int = 0


def run_group(
    work: WorkerFunction[P, R],
    payload: P,
    compute: ComputeConfig,
    *,
    scratch: Path,
    on_event: OnEvent,
    progress: Callable[[], int] = lambda: 0,
) -> R:
    """Run `work` as `compute` says (in this process, on an embedded Ray or on a cluster) and return the result of rank 0.

    `scratch` is a directory that all nodes see, for Ray Train's own state; it is removed at the end.
    `progress` returns a number that grows with the work, so that repeated failures at one step are recognized.

    Raises:
        RaytlError: as raised by a worker.
        WorkerFailed: a bug in the work.
        WorkersLost: more failures or preemptions than `compute` allows, or no resources for the workers.
        ConfigError: the workers do not fit on this machine.
    """
    if runs_in_process(compute):
        return _in_this_process(work, payload, compute, on_event)
    early = adopt(compute)
    actor = early.coordinator if early else None
    with session(compute.cluster, for_group(compute)), _scratch(scratch), coordinator(on_event, actor) as channel:
        call, attempts = _Call(_pickled(work, payload), channel.actor), list[EndedAttempt]()
        while True:
            channel.begin(len(attempts))
            with started(compute, on_event, early.take_workers() if early else None) as processes:
                compute = _resolved(compute, processes.placement)
                on_event(Message(f"starting {processes.placement.workers} worker(s) on {_where(compute)}"))
                call = replace(call, coordinator=channel.actor, attempt=len(attempts))
                trainer = _trainer(call, processes, channel.ended, scratch)
                with watching(channel, processes, compute) as watch:
                    outcome = _outcome(trainer, watch)
            if isinstance(outcome, _Returned):
                return outcome.value  # type: ignore[no-any-return]
            attempts.append(replace(outcome, progress=progress()))
            decision = decide(attempts, compute)
            if isinstance(decision, GiveUp):
                raise decision.error from (outcome.errors[0] if outcome.errors else None)
            on_event(Restarted(attempt=len(attempts), reason=decision.reason, cause=decision.cause))


def _in_this_process(work: WorkerFunction[P, R], payload: P, compute: ComputeConfig, on_event: OnEvent) -> R:
    """Run the only worker here; a killed or hung one is not restarted, and the next run of the command resumes."""
    with exiting_on_sigterm(), preserved_state(), own_cpus(compute):
        result = work(World.solo(), payload, on_event)
    assert not isinstance(result, Paused), "only the driver of a cluster requests a pause"
    return result


@contextlib.contextmanager
def own_cpus(compute: ComputeConfig) -> Iterator[None]:
    """Limit torch's threads to `cpus_per_worker` while inside, as Ray does in its workers: OMP_NUM_THREADS wins.

    Raises:
        ConfigError: this machine has fewer CPUs.
    """
    if compute.cpus_per_worker == "auto":
        yield
        return
    place(compute.model_copy(update={"device": "cpu"}), [(float(usable_cpus()), 0.0)])
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if "OMP_NUM_THREADS" in os.environ else max(1, int(compute.cpus_per_worker)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class _Returned:
    value: Any


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pickled(work: Any, payload: Any) -> bytes:
    from ray import cloudpickle

    content: bytes = cloudpickle.dumps((work, payload))
    return content


def _resolved(compute: ComputeConfig, placement: Placement) -> ComputeConfig:
    """Replace `auto` by the values of the first placement: a run that loses its GPUs waits for others."""
    device = "cuda" if "GPU" in placement.resources else "cpu"
    return compute.model_copy(update={"cpus_per_worker": placement.resources["CPU"], "device": device})


def _where(compute: ComputeConfig) -> str:
    return "an embedded Ray" if compute.cluster in STARTED_HERE else f"the Ray cluster at {compute.cluster}"


def _outcome(trainer: Any, watch: Watch) -> _Returned | EndedAttempt:
    import ray
    import ray.train

    try:
        value = pickle.loads(trainer.fit().return_value)  # noqa: S301 - from our own workers, over Ray, which pickles too
    except ray.train.WorkerGroupError as exc:
        return _ended(tuple(_unwrap(error) for error in exc.worker_failures.values()) or (exc,), watch)
    except (ray.train.TrainingFailedError, ray.exceptions.RayError) as exc:
        return _ended((_unwrap(exc),), watch)
    if not isinstance(value, Paused):
        return _Returned(value)
    assert watch.request is not None, "workers pause only on request"
    return EndedAttempt(watch.request.cause, watch.request.reason, 0)


def _ended(errors: tuple[BaseException, ...], watch: Watch) -> EndedAttempt:
    if watch.request is not None and watch.request.action == "exit":
        return EndedAttempt(watch.request.cause, watch.request.reason, 0, tuple(e for e in errors if not _is_ray(e)))
    if lost := watch.lost_hosts():
        return EndedAttempt("preemption", f"lost {', '.join(lost)}", 0, errors)
    return EndedAttempt("failure", reason_of(errors), 0, errors)


def _is_ray(error: BaseException) -> bool:
    return type(error).__module__.startswith("ray.")


def _unwrap(error: BaseException) -> BaseException:
    """Return the exception that the worker raised, without Ray's wrappers."""
    for name in ("_base_exc", "controller_failure", "health_check_failure", "cause"):
        inner = getattr(error, name, None)
        if isinstance(inner, BaseException) and inner is not error:
            return _unwrap(inner)
    return error


def _trainer(call: _Call, workers: Workers, ended: threading.Event, scratch: Path) -> Any:
    # the classes of ray.train and ray.train.torch, imported from Train v2 for their types
    from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    from raytl.cluster.network import GroupConfig
    from raytl.cluster.trainer import LeanTrainer

    logging.getLogger("ray.train").setLevel(logging.CRITICAL)  # the errors of workers are reported here
    placement = workers.placement
    use_gpu = "GPU" in placement.resources
    return LeanTrainer(
        _on_worker,
        train_loop_config={"call": call},
        torch_config=GroupConfig(backend="nccl" if use_gpu else "gloo", timeout_s=_START_S),
        scaling_config=ScalingConfig(
            num_workers=placement.workers,
            use_gpu=use_gpu,
            resources_per_worker=placement.resources,
        ),
        run_config=RunConfig(
            name=f"raytl-{uuid.uuid4().hex[:12]}",
            storage_path=str(scratch.resolve()),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=1, max_preemption_failures=0),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
        workers=workers,
        ended=ended,
    )


def _on_worker(config: dict[str, Any]) -> bytes:
    import ray.train

    from raytl.cluster.network import extend_collective_timeout

    context = ray.train.get_context()
    call: _Call = config["call"]
    world = World(
        context.get_world_rank(), context.get_world_size(), context.get_local_rank(), context.get_local_world_size()
    )
    extend_collective_timeout()
    defer_compiler()
    emit = EventSender(call.coordinator, world.status)
    with sending_heartbeats(world, call.coordinator, call.attempt):
        try:
            work, payload = pickle.loads(call.work)  # noqa: S301 - from our own driver
            return pickle.dumps(work(world, payload, emit))
        finally:
            emit.end()
