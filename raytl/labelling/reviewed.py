"""The images whose labels a person has looked at: they are not listed again."""

from __future__ import annotations

from raytl.config.schema import Experiment
from raytl.data.corrections import read_corrections
from raytl.store.s3_settings import S3Settings


def reviewed_keys(experiment: Experiment) -> frozenset[str]:
    """Return the keys of images with a correction, or a confirmation, in `labels.relabel`."""
    relabel = experiment.labels.relabel
    if relabel is None:
        return frozenset()
    return frozenset(each.key for each in read_corrections(relabel, S3Settings.of(experiment.storage)))
