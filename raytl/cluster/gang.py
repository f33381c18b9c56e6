"""Run one function on N workers of one torch process group, and replace them when they are lost.

Ray Train places the workers, starts the group and watches it. Resuming is the function's own affair: it
looks for its last whole checkpoint, so that a lost worker, a lost controller and a killed driver are one case.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from raytl.cluster.channel import Sender, channel
from raytl.cluster.placement import worker_resources
from raytl.cluster.session import nodes, session
from raytl.cluster.verdict import Failure, GiveUp, verdict
from raytl.config.schema import ComputeConfig
from raytl.events import Message, OnEvent, Restarted
from raytl.world import World

P = TypeVar("P", contravariant=True)
R = TypeVar("R", covariant=True)


class Work(Protocol[P, R]):
    """What each worker runs: an importable function of its place, a picklable payload and a watcher."""

    def __call__(self, world: World, payload: P, emit: OnEvent, /) -> R: ...


@dataclass(frozen=True, slots=True)
class _Call:
    work: Any
    payload: Any
    sender: Sender


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
        WorkersLost: more failures than `compute.max_failures`.
        ConfigError: the cluster cannot hold the workers.
    """
    if compute.cluster == "none":
        return work(World.solo(), payload, on_event)
    where = "an embedded Ray" if compute.cluster == "local" else f"the Ray cluster at {compute.cluster}"
    on_event(Message(f"starting {compute.workers} worker(s) on {where}"))
    with session(compute.cluster), _scratch(scratch), channel(on_event) as sender:
        failures: list[Failure] = []
        while True:
            outcome = _attempt(_Call(work, payload, sender), compute, scratch, progress)
            if not isinstance(outcome, Failure):
                return outcome.value  # type: ignore[no-any-return]
            failures.append(outcome)
            decision = verdict(failures, compute.max_failures)
            if isinstance(decision, GiveUp):
                raise decision.error from outcome.errors[0]
            on_event(Restarted(attempt=len(failures), reason=decision.reason))


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


def _attempt(call: _Call, compute: ComputeConfig, scratch: Path, progress: Callable[[], int]) -> _Returned | Failure:
    import ray
    import ray.train

    trainer = _trainer(call, compute, scratch)
    try:
        return _Returned(trainer.fit().return_value)
    except ray.train.WorkerGroupError as exc:
        errors = tuple(_unwrap(error) for error in exc.worker_failures.values()) or (exc,)
        return Failure(errors, progress())
    except (ray.train.TrainingFailedError, ray.exceptions.RayActorError) as exc:
        return Failure((exc,), progress())
    except SystemExit as exc:  # Ray's answer to Ctrl-C, after it has stopped the workers
        raise KeyboardInterrupt from exc


def _unwrap(error: BaseException) -> BaseException:
    """The exception that the worker raised, out of Ray's wrapping."""
    inner = getattr(error, "_base_exc", None)
    return inner if isinstance(inner, BaseException) else error


def _trainer(call: _Call, compute: ComputeConfig, scratch: Path) -> Any:

    # what ray.train and ray.train.torch give, with the types of Train v2
    from ray.train.torch import TorchConfig
    from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.v2.torch.torch_trainer import TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    resources = worker_resources(compute, nodes())
    use_gpu = "GPU" in resources
    return TorchTrainer(
        _on_worker,
        train_loop_config={"call": call},
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo", timeout_s=int(compute.timeout_s)),
        scaling_config=ScalingConfig(num_workers=compute.workers, use_gpu=use_gpu, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"raytl-{uuid.uuid4().hex[:12]}",
            storage_path=str(scratch.resolve()),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=1),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _on_worker(config: dict[str, Any]) -> Any:
    import ray.train

    context = ray.train.get_context()
    call: _Call = config["call"]
    world = World(context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    return call.work(world, call.payload, call.sender)
