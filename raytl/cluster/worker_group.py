"""Run one function on N workers of one torch process group, and replace them when they are lost.

Ray Train places the workers, starts the group and watches it. Resuming is the function's own affair: it
looks for its last whole checkpoint, so that a lost worker, a lost controller and a killed driver are one case.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from raytl.cluster import pulse
from raytl.cluster.channel import channel
from raytl.cluster.machines import machines
from raytl.cluster.placement import Place, place
from raytl.cluster.reservation import reservation
from raytl.cluster.session import session
from raytl.cluster.verdict import Ended, GiveUp, reason_of, verdict
from raytl.cluster.watch import Watch, watching
from raytl.config.schema import ComputeConfig
from raytl.events import Message, OnEvent, Restarted
from raytl.world import World

P = TypeVar("P", contravariant=True)
R = TypeVar("R", covariant=True)

_START_S = 120
"""How long the workers of a group may take to find each other."""


class Work(Protocol[P, R]):
    """What each worker runs: an importable function of its place, a picklable payload and a watcher.

    It may return `Paused` once `pulse.pause_asked()`, having stored a checkpoint: it is then called again on other workers.
    """

    def __call__(self, world: World, payload: P, emit: OnEvent, /) -> R | Paused: ...


@dataclass(frozen=True, slots=True)
class Paused:
    """The work stopped where it was asked to, and can go on from there."""


@dataclass(frozen=True, slots=True)
class _Call:
    """`work` is the function and its payload, pickled, as is what it returns: Ray Train's controller hands both on, and
    would import torchvision and timm to unpack what it never uses."""

    work: bytes
    line: Any
    attempt: int = 0


def run_group(
    work: Work[P, R],
    payload: P,
    compute: ComputeConfig,
    *,
    scratch: Path,
    on_event: OnEvent,
    progress: Callable[[], int] = lambda: 0,
) -> R:
    """What `work` returned on rank 0, run as `compute` says: in this process, on embedded Ray, or on a cluster.

    `scratch` is a folder that all nodes see, for Ray Train's own notes; it is removed at the end.
    `progress` says how far the work has come, to tell a bug from bad luck between two attempts.

    Raises:
        RaytlError: as raised by a worker.
        WorkerFailed: a bug in the work.
        WorkersLost: more failures or preemptions than `compute` allows, or no room for the workers.
        ConfigError: this machine cannot hold the workers.
    """
    if compute.cluster == "none":
        alone = work(World.solo(), payload, on_event)
        assert not isinstance(alone, Paused), "nobody asked for it"
        return alone
    with session(compute.cluster), _scratch(scratch), channel(on_event) as line:
        call, attempts = _Call(_pickled(work, payload), line.line), list[Ended]()
        while True:
            line.begin(len(attempts))
            here, nodes = _place(compute, on_event)
            compute = _settled(compute, here)
            on_event(Message(f"starting {here.workers} worker(s) on {_where(compute)}"))
            trainer = _trainer(replace(call, attempt=len(attempts)), here, nodes, scratch)
            with watching(line, here, compute) as watch:
                outcome = _outcome(trainer, watch)
            if isinstance(outcome, _Returned):
                return outcome.value  # type: ignore[no-any-return]
            attempts.append(replace(outcome, progress=progress()))
            decision = verdict(attempts, compute)
            if isinstance(decision, GiveUp):
                raise decision.error from (outcome.errors[0] if outcome.errors else None)
            on_event(Restarted(attempt=len(attempts), reason=decision.reason, cause=decision.cause))


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


def _place(compute: ComputeConfig, on_event: OnEvent) -> tuple[Place, tuple[str, ...]]:
    """How many workers, and the machines that they go to (any, where none is named)."""
    if compute.cluster == "local":
        return place(compute, [machine.size for machine in machines()]), ()
    with reservation(compute, on_event) as held:
        return held.place, held.nodes


def _settled(compute: ComputeConfig, here: Place) -> ComputeConfig:
    """What was `auto` at the first placement stays what it was: a run that lost its GPUs waits for others."""
    device = "cuda" if "GPU" in here.resources else "cpu"
    return compute.model_copy(update={"cpus_per_worker": here.resources["CPU"], "device": device})


def _where(compute: ComputeConfig) -> str:
    return "an embedded Ray" if compute.cluster == "local" else f"the Ray cluster at {compute.cluster}"


def _outcome(trainer: Any, watch: Watch) -> _Returned | Ended:
    import ray
    import ray.train

    try:
        value = pickle.loads(trainer.fit().return_value)  # noqa: S301 - our own workers, over Ray, which pickles too
    except ray.train.WorkerGroupError as exc:
        return _ended(tuple(_unwrap(error) for error in exc.worker_failures.values()) or (exc,), watch)
    except (ray.train.TrainingFailedError, ray.exceptions.RayActorError) as exc:
        return _ended((_unwrap(exc),), watch)
    except SystemExit as exc:  # Ray's answer to Ctrl-C, after it has stopped the workers
        raise KeyboardInterrupt from exc
    if not isinstance(value, Paused):
        return _Returned(value)
    assert watch.asked is not None, "workers pause when they are asked to"
    return Ended(watch.asked.cause, watch.asked.reason, 0)


def _ended(errors: tuple[BaseException, ...], watch: Watch) -> Ended:
    if watch.asked is not None and watch.asked.what == "end":
        return Ended(watch.asked.cause, watch.asked.reason, 0, tuple(e for e in errors if not _is_ray(e)))
    if gone := watch.lost():
        return Ended("preemption", f"{', '.join(gone)} is gone", 0, errors)
    return Ended("failure", reason_of(errors), 0, errors)


def _is_ray(error: BaseException) -> bool:
    return type(error).__module__.startswith("ray.")


def _unwrap(error: BaseException) -> BaseException:
    """The exception that the worker raised, out of Ray's wrapping."""
    for name in ("_base_exc", "controller_failure", "cause"):
        inner = getattr(error, name, None)
        if isinstance(inner, BaseException) and inner is not error:
            return _unwrap(inner)
    return error


def _trainer(call: _Call, here: Place, nodes: tuple[str, ...], scratch: Path) -> Any:
    # what ray.train and ray.train.torch give, with the types of Train v2
    from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    from raytl.cluster.network import GroupConfig
    from raytl.cluster.trainer import LeanTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    use_gpu = "GPU" in here.resources
    return LeanTrainer(
        _on_worker,
        train_loop_config={"call": call},
        torch_config=GroupConfig(backend="nccl" if use_gpu else "gloo", timeout_s=_START_S),
        scaling_config=ScalingConfig(
            num_workers=here.workers,
            use_gpu=use_gpu,
            resources_per_worker=here.resources,
            label_selector={"ray.io/node-id": f"in({','.join(sorted(set(nodes)))})"} if nodes else None,
        ),
        run_config=RunConfig(
            name=f"raytl-{uuid.uuid4().hex[:12]}",
            storage_path=str(scratch.resolve()),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=1, max_preemption_failures=0),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _on_worker(config: dict[str, Any]) -> bytes:
    import ray.train

    from raytl.cluster.network import be_patient

    context = ray.train.get_context()
    call: _Call = config["call"]
    world = World(
        context.get_world_rank(), context.get_world_size(), context.get_local_rank(), context.get_local_world_size()
    )
    be_patient()
    with pulse.beating(world, call.line.board, call.attempt):
        work, payload = pickle.loads(call.work)  # noqa: S301 - from our own driver
        return pickle.dumps(work(world, payload, call.line))
