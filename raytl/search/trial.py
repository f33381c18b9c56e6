"""A trial is an experiment with overrides: what it trains, under which name, and what it tells after each epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from raytl.config.override import override
from raytl.config.places import sweep_uri
from raytl.config.schema import Experiment
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.run.folder import working_copy
from raytl.run.run_store import RunStore
from raytl.store.lease import WriteToken
from raytl.store.s3_settings import S3Settings
from raytl.training.worker import Job


@dataclass(frozen=True)
class Task:
    """One training of a sweep: the trial's number and overrides; `seed` is set where it is a replicate of that trial."""

    number: int
    overrides: Mapping[str, Any]
    seed: int | None = None

    @property
    def folder(self) -> str:
        """The name of its folder: a digest of what it trains, so that a trial asked again finds its checkpoint."""
        text = json.dumps([dict(self.overrides), self.seed], sort_keys=True, default=str)
        kind = f"trial-{self.number:05d}" if self.seed is None else f"trial-{self.number:05d}-seed-{self.seed}"
        return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class SweepJob:
    """What all trials of a sweep have in common: the experiment they override, where they write, and the samples.

    `root` is a folder that all machines see, or a prefix in a bucket, below which trials write with the driver's `right`.
    `probe` is the folder of the solved head that trials start from, or its prefix, "" for none; `share` is how many epochs
    of how many trials are expected to read a shared prefix (0 = nothing is shared).
    """

    experiment: Experiment
    root: str
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    classes: tuple[str, ...]
    probe: str = ""
    share: int = 0
    write_token: WriteToken | None = None
    bit_depth: BitDepth = SIXTEEN_BITS

    @property
    def s3(self) -> S3Settings:
        """How every process reaches its buckets."""
        return S3Settings.of(self.experiment.storage)

    def experiment_of(self, task: Task) -> Experiment:
        """The experiment that `task` trains."""
        return trial_experiment(self.experiment, task, probe=bool(self.probe), root=self.root)

    def run_store_of(self, task: Task) -> RunStore:
        """Where `task` is kept, and where this process works on it."""
        return RunStore(f"{self.root}/{task.folder}", write_token=self.write_token, s3=self.s3)

    def job_of(self, task: Task, experiment: Experiment) -> Job:
        """What the workers of `task`, as `experiment` trains it, are given."""
        root = f"{self.root}/{task.folder}"
        return Job(experiment, root, self.train, self.val, self.classes, self.write_token, self.bit_depth)

    def on_this_node(self) -> SweepJob:
        """Return the same job with the samples where this node has them."""
        data = self.experiment.data
        here = partial(on_this_node, uri=data.uri, zip_encoding=data.zip_encoding, s3=self.s3)
        return replace(self, train=here(self.train), val=here(self.val))


def trial_experiment(base: Experiment, task: Task, *, probe: bool, root: str) -> Experiment:
    """`base` with the trial's overrides, its epochs, its seed and its place; a head that is solved needs no epochs alone.

    Raises:
        ConfigError: the overrides contradict `base`.
    """
    values: dict[str, Any] = dict(task.overrides)
    values |= {"name": task.folder, "storage.uri": root, "train.epochs": epochs_of(base)}
    values["train.metric"] = base.search.metrics[0]
    values |= head_of(base) if probe else {}
    if task.seed is not None:
        values["train.seed"] = task.seed
    return override(base, values)


def winner_experiment(base: Experiment, overrides: Mapping[str, Any], name: str) -> Experiment:
    """The experiment file of a sweep's winner: `base` with its overrides, ready for `raytl train`."""
    values: dict[str, Any] = dict(overrides) | {"name": name, "train.epochs": epochs_of(base)}
    values["train.metric"] = base.search.metrics[0]
    values |= head_of(base)
    return override(base, values)


def head_of(base: Experiment) -> dict[str, Any]:
    """How the head starts in trials: solved, and so without epochs alone."""
    return {"transfer.head_start": "solved", "transfer.head_first": 0} if base.search.linear_probe else {}


def epochs_of(base: Experiment) -> int:
    """Epochs of a trial at most."""
    return base.search.budget.max_epochs or base.train.epochs


def costs(trainable: int, seconds: float) -> dict[str, float]:
    """The objectives that are no scores."""
    return {"cost/trainable_parameters": float(trainable), "cost/train_seconds": seconds}


def sweep_root(experiment: Experiment) -> Path:
    """The folder on this node that the sweep of `experiment` works in."""
    return working_copy(sweep_uri(experiment), S3Settings.of(experiment.storage))
