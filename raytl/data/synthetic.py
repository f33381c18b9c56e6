"""Read `data.synthetic`: made images with labels, which are learned beside the real ones and never measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raytl.config.schema import Experiment
from raytl.data.audit import audit
from raytl.data.formats import scan
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Manifest
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.targets import names_in
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

SYNTHETIC = "data.synthetic"
"""The key of the experiment; with a colon, the beginning of the keys of its images."""
_PREFIX = f"{SYNTHETIC}:"


@dataclass(frozen=True)
class SyntheticImages:
    """The made images on this node; ``notes` say what was read."""

    samples: SampleTable
    notes: tuple[str, ...] = ()


def read_synthetic(
    experiment: Experiment,
    classes: Sequence[str],
    types: tuple[type, ...],
    preprocess: Preprocess | None,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> SyntheticImages:
    """Return the made images of `data.synthetic`; `classes` are those of the real images, `types`
    the targets of the task.

    Raises:
        DataError: there are no images, some cannot be decoded, or a class has no real images.
        StoreError: the bucket cannot be read.
    """
    data = experiment.data
    uri = data.synthetic.uri
    assert uri is not None, "there are made images"
    try:
        manifest = scan(uri, on_event, data.stream, data.zip_encoding, s3, experiment.annotations, types)
    except DataError as error:
        raise DataError(f"{SYNTHETIC}.uri {str(error).removeprefix('data.uri ')}") from error
    _check_classes(uri, manifest, classes)
    as_training: dict[str, object] = {
        "split_file": None,
        "columns": {},
        "val_fraction": 0.0,
        "test_fraction": 0.0,
        "snapshot": None,
    }
    training = [replace(sample, split="train", columns=()) for sample in manifest.samples]
    audited = audit(
        replace(manifest, samples=SampleTable.of(training)),
        data.model_copy(update=as_training),
        preprocess,
        on_event,
        s3,
    )
    samples = SampleTable.of(replace(sample, key=f"{_PREFIX}{sample.key}") for sample in audited.samples)
    note = f"{SYNTHETIC}: {len(samples)} images of {uri}, {100 * data.synthetic.share:g} % of each batch"
    return SyntheticImages(samples, (note, *audited.warnings))


def _check_classes(uri: str, manifest: Manifest, classes: Sequence[str]) -> None:
    names = {name for sample in manifest.samples for name in names_in(sample.target)}
    if unknown := sorted(names - set(classes)):
        raise DataError(
            f"{SYNTHETIC}: {uri}: {', '.join(map(repr, unknown[:5]))} {'is' if len(unknown) == 1 else 'are'} only in made "
            f"images, so nothing could measure whether the model knows it; expected classes of the real images: "
            f"{', '.join(classes)}. Add real images, or leave the made ones out"
        )


def locate_synthetic(
    samples: Sequence[Sample],
    uri: str,
    zip_encoding: str | None,
    on_event: OnEvent,
    s3: S3Settings,
    audited: str = "",
) -> SampleTable:
    """Return the made images with their paths on this node; `audited` is as in `on_this_node`."""
    table = SampleTable.of(samples)
    own = [replace(sample, key=sample.key.removeprefix(_PREFIX)) for sample in table]
    located = on_this_node(own, uri, on_event, zip_encoding, s3, audited)
    return SampleTable.of(replace(sample, key=f"{_PREFIX}{sample.key}") for sample in located)
