"""Apply everything that changes the labels of a manifest after it was scanned: feedback, combined sources, corrections."""

from __future__ import annotations

from raytl.config.labels import LabelsConfig
from raytl.config.schema import DataConfig
from raytl.data.corrections import with_corrections
from raytl.data.feedback_samples import with_feedback
from raytl.data.manifest import Manifest
from raytl.events import OnEvent, ignore
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

AS_GIVEN = LabelsConfig()
"""Labels as the data has them."""


def with_labels(
    manifest: Manifest,
    config: DataConfig,
    labels: LabelsConfig = AS_GIVEN,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> Manifest:
    """Return the manifest with the combined labels of `labels.columns`, the labelled images of `data.feedback` and the corrections
    of `labels.relabel`.

    Raises:
        DataError: see `with_combined_labels`, `with_feedback` and `with_corrections`.
    """
    if labels.columns:
        from raytl.data.combined_labels import with_combined_labels  # it reads tables, which few experiments need

        manifest = with_combined_labels(manifest, config, labels.columns, on_event, s3)
    return with_corrections(with_feedback(manifest, config, on_event, s3), config, labels.relabel, s3)
