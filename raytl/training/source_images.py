"""Read the images of the sources that steps take beside the labelled images, once, on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raytl.config.schema import Experiment
from raytl.data.manifest import dataset_digest
from raytl.data.sample_table import SampleTable
from raytl.data.synthetic import SYNTHETIC, read_synthetic
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent
from raytl.labelling.unlabelled import without_copies
from raytl.store.s3_settings import S3Settings
from raytl.tasks.task import Task
from raytl.training.dataset import Dataset


@dataclass(frozen=True)
class SourceImages:
    """The images of each source by its key in the experiment, the digest of each, and what to say of them."""

    samples: Mapping[str, SampleTable] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_sources(
    experiment: Experiment, task: Task, dataset: Dataset, preprocess: Preprocess, on_event: OnEvent
) -> SourceImages:
    """Return the images of all sources that `experiment`, or a trial of its search space, takes.

    Raises:
        DataError: see `raytl.data.synthetic`.
        StoreError: a bucket cannot be read.
    """
    synthetic = experiment.data.synthetic
    if synthetic.uri is None:
        return SourceImages()
    made = read_synthetic(
        synthetic.uri,
        synthetic.share,
        experiment.data,
        dataset.splits.classes,
        task.target_types,
        preprocess,
        on_event,
        S3Settings.of(experiment.storage),
        experiment.annotations,
    )
    where = f"{SYNTHETIC}: {synthetic.uri}"
    samples, copies = without_copies(
        where, SYNTHETIC, made.samples, dataset.samples, experiment, dataset.depth.depth, on_event
    )
    return SourceImages({SYNTHETIC: samples}, {SYNTHETIC: dataset_digest(samples)}, (*made.notes, *copies))
