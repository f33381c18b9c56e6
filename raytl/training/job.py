"""The payload of every training worker: one run, or one trial of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from raytl.config.schema import Experiment
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.encoder import FileAccess
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.data.sample_file import discard, shared
from raytl.data.sample_table import SampleTable
from raytl.data.sources import located, other_sources
from raytl.events import OnEvent, ignore
from raytl.labelling.change import UNCHANGED, TrainChange
from raytl.labelling.settings import Settings, settings_of
from raytl.registry.reader import fixed
from raytl.registry.reference import is_reference
from raytl.run.run_store import RunStore
from raytl.store.audited import audited_name
from raytl.store.lease import WriteToken
from raytl.store.s3_settings import S3Settings
from raytl.tasks.registry import task_named
from raytl.tasks.task import Task


@dataclass(frozen=True)
class TrainJob:
    """One training: the experiment, the location of its run (a folder or a prefix in a bucket), and its samples.

    A sweep has one too, from which `trial_job` derives that of each trial.
    """

    experiment: Experiment
    location: str
    train: Sequence[Sample]
    val: Sequence[Sample]
    classes: tuple[str, ...]
    bit_depth: BitDepth = SIXTEEN_BITS
    write_token: WriteToken | None = None
    """The driver's permission to write below a prefix in a bucket; None for a folder."""
    is_guest: bool = False
    """True if workers use working copies of their own instead of the driver's."""
    probe: str = ""
    """Folder or prefix of a solved head to start from; empty to start as `transfer.head_start` says."""
    warmed: str = ""
    """Folder, on this node, of the run whose network training starts from in place of `model.weights`; empty without one."""
    feature_seed: int | None = None
    """Seed of the augmented views in the feature cache; None to train on pixels."""
    folds: tuple[TrainJob, ...] = ()
    """The jobs of a sweep's folds, from which each trial trains a network each; empty to train on `train` alone."""
    teachers: tuple[str, ...] = ()
    """The folders, on this machine, of saved models whose answers are learned beside the labels."""
    sources: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    """The images that steps take beside `train`, by the key of the experiment that names them; all that the job or a trial of
    it may need."""
    changes: Mapping[Settings, TrainChange] = field(default_factory=dict)
    """What label methods change in `train`, for each setting of them that the job or a trial of it may have."""
    audited: str = field(default_factory=audited_name, compare=False)
    """The name of the data that the driver audited: its own node needs no check of pulled files."""

    @property
    def task(self) -> Task:
        """The task of the experiment."""
        return task_named(self.experiment.task)

    @property
    def s3(self) -> S3Settings:
        """The settings for buckets, the same in every process."""
        return S3Settings.of(self.experiment.storage)

    @property
    def files(self) -> FileAccess:
        """The limits and settings with which files of targets are read."""
        return FileAccess(self.experiment.data.max_pixels, self.s3)

    def run_store(self) -> RunStore:
        """Return the run, and this process's working copy of it."""
        return RunStore(self.location, write_token=self.write_token if self.is_guest else None, s3=self.s3)

    def with_changes(self) -> TrainJob:
        """Return the job with the training images that its experiment's label methods leave; nothing changes twice."""
        change = self.changes.get(settings_of(self.experiment), UNCHANGED)
        return replace(self, train=change.applied(self.train), changes={})

    def with_fixed_weights(self) -> TrainJob:
        """Return the job with the number of the version that `model.weights` names now: an alias that moves meanwhile changes nothing.

        Raises:
            RegistryError: no such version or alias.
        """
        model = self.experiment.model
        if not is_reference(model.weights):
            return self
        model = model.model_copy(update={"weights": fixed(model.weights, self.s3)})
        return replace(self, experiment=self.experiment.model_copy(update={"model": model}))

    def sharing_samples(self) -> TrainJob:
        """Return the job, whose workers will read large splits from a file below its location instead of a copy each."""
        if self.experiment.compute.cluster == "none":
            return self
        own = partial(shared, location=self.location, s3=self.s3)
        sources = {key: own(SampleTable.of(samples)) for key, samples in self.sources.items()}
        return replace(self, train=own(SampleTable.of(self.train)), val=own(SampleTable.of(self.val)), sources=sources)

    def discard_samples(self) -> None:
        """Remove the file of `sharing_samples`, once no worker will start again."""
        if any(
            isinstance(each, SampleTable) and each.origin for each in (self.train, self.val, *self.sources.values())
        ):
            discard(self.location, self.s3)

    def on_this_node(self, emit: OnEvent = ignore) -> TrainJob:
        """Return the job with its samples where this node has them; download them if they are in a bucket."""
        data = self.experiment.data
        local = partial(
            on_this_node,
            uri=data.uri,
            on_event=emit,
            zip_encoding=data.zip_encoding,
            s3=self.s3,
            audited=self.audited,
            limit_bytes=int(data.pull_limit_gb * 1e9),
        )
        place = partial(located, sources=other_sources(self.experiment, emit, self.s3, self.audited), own=local)
        sources = {key: place(samples) for key, samples in self.sources.items()}
        return replace(self, train=place(self.train), val=local(self.val), sources=sources)
