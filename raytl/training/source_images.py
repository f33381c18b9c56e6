"""Read the images of the sources that steps take beside the labelled images, once, on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raytl.data.manifest import dataset_digest
from raytl.data.sample_table import SampleTable
from raytl.data.sources import TARGET, UNLABELLED
from raytl.data.synthetic import SYNTHETIC, read_synthetic
from raytl.labelling.changes import LabelInputs
from raytl.labelling.synthetic import synthetic_notes
from raytl.labelling.unlabelled import UnlabelledImages, without_copies
from raytl.store.s3_settings import S3Settings
from raytl.training.dataset import Dataset
from raytl.training.step_sources import source_keys


@dataclass(frozen=True)
class SourceImages:
    """The images of each source by its key in the experiment, the digest of each, and what to say of them."""

    samples: Mapping[str, SampleTable] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_sources(inputs: LabelInputs, dataset: Dataset) -> SourceImages:
    """Return the images of all sources that the experiment, or a trial of its search space, takes.

    Raises:
        DataError: a source is empty, has classes of its own, or copies of test images.
        StoreError: a bucket cannot be read.
    """
    sources: dict[str, UnlabelledImages] = {}
    keys = source_keys(inputs.experiment)
    if SYNTHETIC in keys:
        sources[SYNTHETIC] = _synthetic(inputs, dataset)
    if UNLABELLED in keys:
        sources[UNLABELLED] = inputs.unlabelled
    if TARGET in keys:
        sources[TARGET] = inputs.target
    return SourceImages(
        {key: images.samples for key, images in sources.items()},
        {key: images.digest for key, images in sources.items()},
        tuple(note for images in sources.values() for note in images.notes),
    )


def _synthetic(inputs: LabelInputs, dataset: Dataset) -> UnlabelledImages:
    """Return the made images, with what a comparison with the real ones says."""
    experiment, types = inputs.experiment, inputs.task.target_types
    result = read_synthetic(
        experiment,
        inputs.classes,
        types,
        inputs.backbone.preprocess,
        inputs.on_event,
        S3Settings.of(experiment.storage),
    )
    where = f"{SYNTHETIC}: {experiment.data.synthetic.uri}"
    samples, copies = without_copies(
        where, SYNTHETIC, result.samples, dataset.samples, experiment, dataset.depth.depth, inputs.on_event
    )
    notes = (*result.notes, *copies, *synthetic_notes(inputs, samples))
    return UnlabelledImages(samples, dataset_digest(samples), notes)
