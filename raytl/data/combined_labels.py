"""Combine the labels of several noisy sources (`labels.columns`) into one label an image, with the estimated accuracy of each source.

The sources are estimated on training images alone, so nothing about the test split can change a training label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import DataConfig
from raytl.data.formats import table_place
from raytl.data.formats.vote_columns import read_votes
from raytl.data.manifest import Manifest, listed
from raytl.data.sample_columns import TargetWriter
from raytl.data.sample_table import SampleTable
from raytl.data.split import apply_splits
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.metrics.votes import MISSING, Sources, combined, fitted_sources
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Voted:
    """The votes `(n, sources)` and own labels `(n,)` of images as indices of `classes`, -1 where there is none."""

    votes: Ints
    own: Ints
    classes: tuple[str, ...]


def with_combined_labels(
    manifest: Manifest,
    config: DataConfig,
    columns: Sequence[str],
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> Manifest:
    """Return the manifest with the combined label of each training image that has none of its own; images whose sources
    disagree, and where no class is likelier than all others together, are left out. The same manifest without `columns`.

    Raises:
        DataError: a column is missing, or images of validation or test have no label of their own.
    """
    if not columns:
        return manifest
    samples = apply_splits(manifest.samples, config, s3)
    voted = _voted(manifest.root, samples, columns, on_event, s3)
    is_train = samples.splits.mapped(lambda split: split == "train", np.bool_)
    unlabelled = [samples.keys[place] for place in np.flatnonzero(~is_train & (voted.own == MISSING)).tolist()]
    if unlabelled:
        raise DataError(
            f"labels.columns: {len(unlabelled)} images of validation and test have no label of their own:\n{listed(unlabelled)}\n"
            "Scores on combined labels would measure agreement with the sources. Label these images, or put them in train with "
            "a column split"
        )
    sources = fitted_sources(voted.votes[is_train], len(voted.classes), voted.own[is_train])
    labels = np.where(voted.own == MISSING, combined(sources.posteriors(voted.votes), voted.votes), voted.own)
    written = TargetWriter()
    written.extend([voted.classes[label] for label in labels.tolist()])  # -1 is left out below
    is_kept = labels != MISSING
    table = replace(samples, targets=written.column(), origin=None).where(is_kept)
    notes = _notes(columns, voted, sources, is_train, int((~is_kept).sum()))
    names = tuple(sorted(set(np.array(voted.classes)[labels[is_kept]].tolist())))
    return replace(manifest, samples=table, classes=names, warnings=(*manifest.warnings, *notes))


def _voted(root: str, samples: SampleTable, columns: Sequence[str], on_event: OnEvent, s3: S3Settings) -> _Voted:
    cells, none = read_votes(table_place(root, on_event, s3), columns).by_key(list(samples.keys)), ("",) * len(columns)
    rows = [cells.get(key, (str(target), none)) for key, target in zip(samples.keys, samples.targets, strict=True)]
    classes = tuple(sorted({text for own, votes in rows for text in (own, *votes)} - {""}))
    index = {"": MISSING} | {name: place for place, name in enumerate(classes)}
    votes = np.array([[index[vote] for vote in each] for _, each in rows], np.int64).reshape(len(rows), len(columns))
    return _Voted(votes, np.array([index[own] for own, _ in rows], np.int64), classes)


def _notes(
    columns: Sequence[str], voted: _Voted, sources: Sources, is_train: NDArray[np.bool_], undecided: int
) -> list[str]:
    counts = (voted.votes[is_train] != MISSING).sum(axis=0).tolist()
    chance = float(sources.prior.max())
    rated = [
        f"{name} {100 * accuracy:.0f} % of {count:,}{' (no better than the most frequent class)' * (accuracy <= chance)}"
        for name, accuracy, count in zip(columns, sources.accuracies.tolist(), counts, strict=True)
    ]
    combined_images = int(((voted.own == MISSING) & is_train).sum())
    notes = [
        f"labels.columns: {combined_images:,} training images have combined labels; estimated accuracy of the sources: "
        f"{', '.join(rated)}"
    ]
    if undecided:
        notes.append(
            f"labels.columns: {undecided:,} images are left out: their sources disagree, and any label would be wrong more often than right"
        )
    return notes
