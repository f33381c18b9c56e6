"""Predict one part as `raytl predict` does, and put its table and then its receipt; in this process or in an actor."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raytl.batch_inference.output import Output
from raytl.batch_inference.plan import Part
from raytl.batch_inference.record import Receipt
from raytl.config.machine import Machine
from raytl.config.predict import PredictOptions
from raytl.errors import RunError
from raytl.evaluation.predictor import Answers, Predictor, answers_of, load, reporting_of
from raytl.events import OnEvent, ignore
from raytl.store.lease import Watch, WriteToken
from raytl.tasks.reporting import Reading, TaskPredictions, Unreadable


@dataclass(frozen=True)
class Options:
    """The options of `raytl predict` that decide the answers; see `raytl.evaluation.predictor.load`."""

    require: str | None = None
    recall: tuple[str, ...] = ()
    uncertainty: bool = False
    reported: PredictOptions = field(default_factory=PredictOptions)


@dataclass(frozen=True)
class Job:
    """The work of a process that predicts parts: the model and its `weights`, the options, and where to write.

    `machine` has the settings of one process. `token` is the permission to write below `output`.
    """

    run: str
    weights: str
    plan: str
    machine: Machine
    options: Options
    batch: int
    output: Output
    token: WriteToken

    def predictor(self, on_event: OnEvent = ignore) -> Predictor:
        """Return the model in memory.

        Raises:
            RunError: it has other weights than the plan.
        """
        predictor = loaded(self.run, self.machine, self.options, on_event)
        if predictor.weights != self.weights:
            raise RunError(
                f"{self.run}: found weights {predictor.weights[:12]}, expected {self.weights[:12]}, with which this batch began: the "
                "run changed meanwhile. Run the same command again, or name a version (models:...)"
            )
        return predictor


def loaded(run: str, machine: Machine, options: Options, on_event: OnEvent = ignore) -> Predictor:
    """Load the model of `run` with the options."""
    return load(
        run,
        machine=machine,
        on_event=on_event,
        require=options.require,
        recall=options.recall,
        uncertainty=options.uncertainty,
        **options.reported,
    )


class PartWriter:
    """Predicts parts of a job with a loaded predictor, while the job may write."""

    def __init__(self, job: Job, predictor: Predictor) -> None:
        self._job, self._predictor = job, predictor
        self._lease = Watch(job.token, job.output.lease_store, s3=job.output.s3)

    def write(self, part: Part) -> Receipt:
        """Predict the part and put its table and its receipt, which is returned.

        Raises:
            StoreError: the photos or the output cannot be reached, or another process took over.
        """
        answers = answers_of(self._predictor, part.photos, self._job.batch)
        table = _table(self._predictor, part, answers)
        content = b"" if table is None else as_bytes(table)
        self._lease.check()
        info = self._job.output.put_table(part.name, content) if content else None
        if not content:
            self._job.output.delete_table(part.name)
        receipt = Receipt(
            plan=self._job.plan,
            part=part.digest,
            photos=len(answers.positions),
            rows=_rows(content),
            size=len(content),
            etag=info.etag if info else "",
            sha256=hashlib.sha256(content).hexdigest(),
            unit="" if table is None else table.unit,
            counts={} if table is None else dict(table.counts),
            judged={} if table is None else judged_counts(table),
            unreadable=answers.unreadable,
        )
        self._job.output.put_receipt(part.name, receipt)
        return receipt


def as_bytes(table: TaskPredictions) -> bytes:
    """Return the table as the bytes of the file that `raytl predict --out x.parquet` writes."""
    with tempfile.TemporaryDirectory(prefix="raytl-part-") as folder:
        file = Path(folder, "part.parquet")
        table.write(file, "parquet")
        return file.read_bytes()


def judged_counts(table: TaskPredictions) -> dict[str, int]:
    """Return the number of photos that are answered, unfamiliar, and count as a class with an aim, by column."""
    judged: Mapping[str, list[Any]] = getattr(table, "judged", {})  # of tasks that decide one class an image
    return {name: cells.count(True) for name, cells in judged.items() if name != "set"}


def _table(predictor: Predictor, part: Part, answers: Answers) -> TaskPredictions | None:
    if not answers.positions:
        return None
    unreadable = tuple(Unreadable(part.photos[place], reason) for place, reason in answers.unreadable)
    read = tuple(part.photos[place] for place in answers.positions)
    reading = Reading(read, answers.sizes, unreadable, predictor.weights, {}, answers.judgements)
    return reporting_of(predictor).table(answers.answers, predictor.classes, reading)


def _rows(content: bytes) -> int:
    if not content:
        return 0
    import pyarrow.parquet as pq

    return int(pq.read_metadata(io.BytesIO(content)).num_rows)
