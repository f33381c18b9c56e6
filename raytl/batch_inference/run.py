"""Predict the parts of a plan that are not finished, here or with Ray Data, and report the progress."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from raytl.batch_inference.part import Job, PartWriter
from raytl.batch_inference.plan import Part, Plan
from raytl.batch_inference.ray_data import Pool, predict_parts
from raytl.batch_inference.record import Receipt
from raytl.batch_inference.sizing import sizing
from raytl.batch_inference.stall import Limits
from raytl.cluster.machines import machines
from raytl.cluster.session import STARTED_HERE, Prestart, session
from raytl.config.schema import ComputeConfig
from raytl.errors import WorkersLost
from raytl.evaluation.predictor import Predictor
from raytl.events import Event, Message, OnEvent, Work

_START_HERE_S = 180.0
"""The longest wait for the first actor of a Ray started here, whose resources nothing else holds."""
_WINDOW = 60
_BESIDE = 3
"""Processes beside the actors: the pipeline, and actors of Ray Data's own."""


class BatchRun:
    """The parts of a plan, with the receipts of those that are finished."""

    def __init__(self, plan: Plan, receipts: dict[int, Receipt], on_event: OnEvent) -> None:
        self.receipts = receipts
        self._plan, self._emit = plan, on_event
        self._finished = sum(len(plan.parts[number].photos) for number in receipts)
        self._reported = -1
        self._pace: deque[tuple[float, int]] = deque([(time.monotonic(), self._finished)], maxlen=_WINDOW)

    @property
    def todo(self) -> list[Part]:
        """The parts that are not finished."""
        return [part for part in self._plan.parts if part.number not in self.receipts]

    def tell_retained(self, uri: str) -> None:
        """Report the parts that are kept, if there are any."""
        if self.receipts:
            retained, total = len(self.receipts), len(self._plan.parts)
            self._emit(
                Message(
                    f"{uri}: {retained:,} of {total:,} parts are finished; predicting the other {total - retained:,}"
                )
            )

    def here(self, job: Job, predictor: Predictor) -> None:
        """Predict the parts in this process."""
        writer = PartWriter(job, replace(predictor, _on_event=self._forward))
        for part in self.todo:
            self._add(part.number, writer.write(part))

    def with_ray(self, job: Job, compute: ComputeConfig, workers: int | None) -> None:
        """Predict the parts in actors of Ray.

        Raises:
            ConfigError: they do not fit.
            WorkersLost: they got no resources, made no progress, died too often, or left a part out.
        """
        todo = self.todo
        is_own = compute.cluster in STARTED_HERE
        with session(compute.cluster, Prestart(_BESIDE + (workers or 1)) if is_own else None):
            sizes = [each.size for each in machines() if not each.draining]
            wanted = sizing(compute, workers, sizes, len(todo))
            self._emit(Message(f"predicting {len(todo):,} parts with {wanted}"))
            limits = Limits(min(_START_HERE_S, compute.wait_s) if is_own else compute.wait_s, compute.timeout_s)
            pool = Pool(wanted, limits, compute.max_failures)
            predict_parts(job, todo, pool, self._add, self._report, self._emit)
        if lost := self.todo:
            raise WorkersLost(
                f"{len(lost):,} of {len(todo):,} parts came back without a receipt, {lost[0].name} first; expected one of each. "
                "The same command resumes"
            )

    def _add(self, number: int, receipt: Receipt) -> None:
        self.receipts[number] = receipt
        self._finished += len(self._plan.parts[number].photos)
        self._report(0)

    def _forward(self, event: Event) -> None:
        """Count the photos of the part in progress for all parts; pass other events on."""
        if not isinstance(event, Work):
            self._emit(event)
        elif event.done < event.total:
            self._report(event.done)

    def _report(self, in_progress: int) -> None:
        """Report the photos that are done, and the rate of late."""
        done = min(self._finished + in_progress, self._plan.photos)
        now, (since, before) = time.monotonic(), self._pace[0]
        if done == before and len(self._pace) == 1:  # starting is no work
            self._pace[0] = (now, done)
        elif now - self._pace[-1][0] > 1.0:
            self._pace.append((now, done))
        if done == self._reported:
            return
        self._reported = done
        rate = (done - before) / (now - since) if now - since > 1.0 else 0.0
        self._emit(Work("predicting", done, self._plan.photos, per_s=max(0.0, rate)))
