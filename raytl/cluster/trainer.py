"""Ray Train in this process: its controller, without the actors that raytl does not need, on workers that have been started.

Ray Train starts an actor for its controller, one for a barrier between reports, one for its autoscaler and one that removes
placement groups. Each is a process that imports Ray Train (the controller torch too) and takes a part of a core.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import Worker, WorkerGroup, WorkerGroupContext
from ray.train.v2._internal.execution.worker_group.execution_group import ReplicaGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.train.v2._internal.execution.worker_group.state import WorkerGroupState, _shutdown_workers
from ray.train.v2.torch.torch_trainer import TorchTrainer

from raytl.cluster.workers import Workers

_POLL_S, _LAST_POLLS_S = 2.0, 0.2
"""Intervals of polls: the first finds dead workers, the second the results after a worker has ended."""
_START_S = 300.0
"""Time limit for the processes of placed workers to start."""
_NO_BARRIER: Any = None
"""In place of the actor in which the ranks meet for `ray.train.report`, which raytl does not use."""


class LeanTrainer(TorchTrainer):
    """A TorchTrainer that runs on `workers`; `ended` is set as soon as one of them has ended, which saves polls."""

    def __init__(self, *args: Any, workers: Workers, ended: threading.Event, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._workers, self._ended = workers, ended

    def _create_default_callbacks(self) -> list[Any]:
        unused = (DatasetsCallback, PlacementGroupCleanerCallback)  # this process owns the placement group
        return [each for each in super()._create_default_callbacks() if not isinstance(each, unused)]

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        parts["scaling_policy"] = _NoAutoscaler(parts["scaling_policy"].scaling_config)
        controller = _Controller(self._workers, self._ended, **parts)
        if asyncio._get_running_loop() is None:
            _run(controller)
        else:  # a notebook has a loop in this thread
            _run_apart(controller)
        return controller.get_result()


def _run(controller: TrainController) -> None:
    loop = asyncio.new_event_loop()  # unlike `asyncio.run`, lets Ctrl-C interrupt a call to Ray
    try:
        loop.run_until_complete(controller.run())
    finally:
        loop.close()


def _run_apart(controller: TrainController) -> None:
    """Run the controller in a thread; Ctrl-C here leaves it, and its workers are stopped with their group."""
    with_loop = ThreadPoolExecutor(1)
    try:
        running = with_loop.submit(_run, controller)
        while True:
            with contextlib.suppress(TimeoutError):
                return running.result(_POLL_S)
            if running.done():
                return running.result()
    finally:
        with_loop.shutdown(wait=False)


class _Controller(TrainController):
    def __init__(self, workers: Workers, ended: threading.Event, **parts: Any) -> None:
        self._started_workers, self._ended = workers, ended
        super().__init__(**parts)

    def _start_worker_group(self, num_workers: int, resources_per_worker: dict[str, float]) -> None:
        context = WorkerGroupContext(
            run_attempt_id=self._run_attempt_id,
            train_fn_ref=self._train_fn_ref,
            num_workers=num_workers,
            resources_per_worker=resources_per_worker,
        )
        group = _Group(self._train_run_context, context, self._worker_group_callbacks_to_propagate)
        group.started_workers = self._started_workers
        self._worker_group = group
        group._start()  # type: ignore[no-untyped-call]

    async def _poll_workers(self) -> Any:
        waited = time.monotonic() - self._latest_poll_time
        if self._ended.is_set():
            time.sleep(_LAST_POLLS_S)
        else:
            self._ended.wait(max(0.0, _POLL_S - waited))
        self._latest_poll_time = float("-inf")
        return await super()._poll_workers()


class _Group(WorkerGroup):
    """A worker group of actors that exist already, without the barrier actor of `ray.train.report`."""

    started_workers: Workers

    def _start_impl(self, worker_group_state_builder: Any) -> None:
        resources = self._worker_group_context.resources_per_worker
        workers = self._ranked(resources)
        self._replica_groups = [ReplicaGroup([each], resources) for each in workers]
        self._worker_rank_to_replica_group_rank = {rank: rank for rank in range(len(workers))}
        self._init_train_context(workers, _NO_BARRIER)
        handle = DefaultPlacementGroupHandle(self.started_workers.group)
        self._worker_group_state = _State(time.monotonic(), handle, workers, _NO_BARRIER)
        for callback in self._callbacks:
            callback.after_worker_group_start(self)
        ray.get([each.actor.run_train_fn.remote(self._worker_group_context.train_fn_ref) for each in workers])

    def _ranked(self, resources: dict[str, float]) -> list[Worker]:
        """Return the workers in the order of their ranks, once their processes have started."""
        actors = self.started_workers.actors
        try:
            metadata = ray.get([actor.get_metadata.remote() for actor in actors], timeout=_START_S)
        except ray.exceptions.GetTimeoutError as late:
            raise WorkerGroupStartupFailedError(f"the workers did not start within {_START_S:g} s") from late
        listed = [
            Worker(actor, each, resources, placement_group_bundle_index=bundle)
            for bundle, (actor, each) in enumerate(zip(actors, metadata, strict=True))
        ]
        return list(WorkerGroup._assign_worker_ranks(listed))

    def _init_train_context_on_workers(self, workers: list[Worker], sync_actor: Any, arguments: dict[str, Any]) -> None:
        ray.get(
            [
                worker.actor.init_train_context.remote(
                    train_run_context=self._train_run_context,
                    distributed_context=worker.distributed_context,
                    synchronization_actor=_NO_BARRIER,
                    storage_context=self._storage_context,
                    worker_callbacks=self._worker_callbacks_to_propagate,
                    controller_actor=None,
                    **{name: values[rank] for name, values in arguments.items()},
                )
                for rank, worker in enumerate(workers)
            ]
        )


@dataclass(frozen=True)
class _State(WorkerGroupState):
    def shutdown(self) -> None:
        """Stop the workers and remove their placement group; there is no barrier to stop."""
        _shutdown_workers(self.workers)
        self.placement_group_handle.shutdown()


class _NoAutoscaler(FixedScalingPolicy):
    """A fixed number of workers without the autoscaler actor: their placement group is ready before the trainer starts."""

    def after_controller_start(self, train_run_context: Any) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass
