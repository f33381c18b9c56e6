"""The images of an experiment as its data names them, with labels from several sources, feedback and corrections applied."""

from __future__ import annotations

from raytl.config.labels import LabelsConfig
from raytl.config.schema import Experiment
from raytl.data.formats import scan
from raytl.data.given_labels import with_labels
from raytl.data.manifest import Manifest
from raytl.events import OnEvent
from raytl.store.s3_settings import S3Settings
from raytl.tasks.registry import task_named


def labelled_manifest(experiment: Experiment, labels: LabelsConfig, on_event: OnEvent) -> Manifest:
    """Return the manifest of the data of `experiment` with what `labels` says of its labels; no file of an image is read.

    Raises:
        DataError: see `scan` and `with_labels`.
        StoreError: an object store failed.
    """
    config, s3 = experiment.data, S3Settings.of(experiment.storage)
    manifest = scan(
        config.uri,
        on_event,
        config.stream,
        config.zip_encoding,
        s3,
        experiment.annotations,
        task_named(experiment.task).target_types,
        config.columns,
        labels.columns,
    )
    return with_labels(manifest, config, labels, on_event, s3)
