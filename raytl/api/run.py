"""A finished run as a value: its metrics, its history, its report."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from raytl.api.table import table
from raytl.cli.watch import watched
from raytl.config.choice import Choice
from raytl.config.machine import Machine
from raytl.config.schema import Recipe
from raytl.config.stored import stored_experiment
from raytl.errors import RunError
from raytl.events import OnEvent
from raytl.pages import embedded, render
from raytl.run import journal
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder, working_copy
from raytl.run.run_store import RunStore
from raytl.sanitize import printable
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.training.records import SUMMARY_FORMAT


@dataclass(frozen=True)
class Run:
    """A finished run: `metrics` are those of `best_epoch` (one-based) on the validation split, of `epochs` in all.

    `uri` is where the run is kept, a folder or `s3://...`. `experiment` is what it ran. A run stands wherever a path of
    a run may: `raytl.load(run)`, `raytl.evaluate(run)`.
    """

    uri: str
    experiment: Recipe = field(repr=False)
    status: Literal["trained", "resumed", "already finished"]
    best_epoch: int
    epochs: int
    metrics: Mapping[str, float]
    machine: Machine | None = field(default=None, repr=False)
    """How this machine reaches buckets and clusters; that of the experiment which made the run."""

    @classmethod
    def open(cls, uri: str | os.PathLike[str], *, machine: Machine | None = None) -> Run:
        """Return the finished run at `uri`: its folder, `s3://...` or `models:...`.

        Raises:
            RunError: no run is there, or it is not finished.
        """
        name = os.fspath(uri)
        folder = RunStore.open(name, s3_of(machine)).folder
        summary = SUMMARY_FORMAT.typed(folder.summary(), f"{folder.manifest}: summary")
        recipe = stored_experiment(folder.experiment).recipe
        return cls(name, recipe, "already finished", summary.best_epoch, summary.epochs, summary.metrics, machine)

    @property
    def path(self) -> Path:
        """The run's folder on this machine; for a run in a bucket, its local copy."""
        return self._folder().root

    @property
    def history(self) -> Any:
        """One row for each epoch, as a `pandas.DataFrame`, or as a list of dicts if pandas is not installed."""
        epochs = journal.read(self._folder().metrics, EPOCH_FORMAT)
        return table(epochs)

    def evaluate(
        self,
        *,
        split: str = "test",
        again: bool = False,
        workers: int = 1,
        device: str | None = None,
        progress: bool = True,
        on_event: OnEvent | None = None,
    ) -> Any:
        """Score the best checkpoint on `split` and return the report; see `raytl.evaluate`."""
        from raytl.evaluation.evaluate import evaluate

        with watched(progress, on_event) as emit:
            return evaluate(
                self.uri,
                split=split,
                again=again,
                workers=workers,
                device=device,
                machine=machine_of(self, workers),
                on_event=emit,
            )

    def _folder(self) -> RunFolder:
        """Return the run's folder, fetched if this machine has no copy."""
        folder = self._local_copy()
        return folder if folder.manifest.exists() else RunStore.open(self.uri, s3_of(self.machine)).folder

    def _local_copy(self) -> RunFolder:
        return RunFolder(working_copy(self.uri, s3_of(self.machine)))

    def __fspath__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        scores = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items() if name.startswith("val/"))
        return printable(f"Run({self.uri!r}, {self.status}, best epoch {self.best_epoch} of {self.epochs}{scores})")

    def _repr_html_(self) -> str:
        """Return the metrics, what `recipe: auto` chose, and the learning curves as HTML; notebooks call this."""
        from raytl.tasks.auto_recipe import stored_choices  # imports torch

        folder, choices = self._local_copy(), tuple[Choice, ...]()
        with contextlib.suppress(RunError):  # a damaged record is no reason to show nothing
            choices = stored_choices(folder.root)
        return render("raytl.api", "run.html.j2", run=self, choices=choices, curves=embedded(folder.curves))


def s3_of(machine: Machine | None) -> S3Settings:
    """Return how buckets are reached; None is as the environment says."""
    return ENVIRONMENT if machine is None else S3Settings.of(machine.storage)


def machine_of(run: object, workers: int = 1) -> Machine | None:
    """Return the machine settings that `run` brings, as far as they take effect with so many workers; None if none."""
    machine = run.machine if isinstance(run, Run) else None
    return machine.alone() if machine is not None and workers == 1 else machine
