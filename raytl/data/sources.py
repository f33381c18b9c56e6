"""Find the files of samples that come from other places than `data.uri`, by the beginning of their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from raytl.config.schema import DataConfig, Experiment
from raytl.data.feedback import KEYS
from raytl.data.feedback_samples import locate_feedback
from raytl.data.formats.unlabelled import scan_unlabelled
from raytl.data.local_paths import current
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.synthetic import SYNTHETIC, locate_synthetic
from raytl.events import OnEvent, ignore
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

UNLABELLED, TARGET = "data.unlabelled", "adapt.target"
"""The keys of the experiment that name sources of images without labels."""
Locate = Callable[[SampleTable], SampleTable]
"""From samples of one source to the same samples with their paths on this node."""


def located(samples: Sequence[Sample], sources: Iterable[tuple[str, Locate]], own: Locate) -> SampleTable:
    """Return the samples with their paths on this node: those whose keys begin with the prefix of one of `sources` by its
    function, all others by `own`."""
    table = SampleTable.of(samples)
    of_row = np.zeros(len(table), np.int64)
    locates = [own]
    for prefix, locate in sources:
        of_row[[key.startswith(prefix) for key in table.keys]] = len(locates)
        locates.append(locate)
    if not of_row.any():
        return own(table)
    paths = [
        iter(locate(part).paths if len(part := table.where(of_row == i)) else ()) for i, locate in enumerate(locates)
    ]
    return table.with_paths(next(paths[i]) for i in of_row.tolist())


def other_sources(
    experiment: Experiment, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT, audited: str = ""
) -> list[tuple[str, Locate]]:
    """Return the prefix of the keys of each source of `experiment` besides `data.uri`, and how to find its files; `audited` is
    as in `on_this_node`."""
    data = experiment.data
    sources: list[tuple[str, Locate]] = []
    if data.feedback is not None:
        sources.append((KEYS, partial(locate_feedback, uri=data.feedback, on_event=on_event, s3=s3)))
    for key, uri in ((UNLABELLED, data.unlabelled), (TARGET, experiment.adapt.target)):
        if uri is not None:
            sources.append(unlabelled_source(key, uri, data, on_event, s3, audited))
    if data.synthetic.uri is not None:
        locate = partial(
            locate_synthetic,
            uri=data.synthetic.uri,
            zip_encoding=data.zip_encoding,
            on_event=on_event,
            s3=s3,
            audited=audited,
        )
        sources.append((f"{SYNTHETIC}:", locate))
    return sources


def unlabelled_source(
    key: str,
    uri: str,
    config: DataConfig,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
    audited: str = "",
) -> tuple[str, Locate]:
    """Return the prefix of the samples that `scan_unlabelled` finds for `key`, and how to find their files on this node."""

    def relocate(samples: SampleTable) -> SampleTable:
        here = scan_unlabelled(uri, key, on_event, zip_encoding=config.zip_encoding, s3=s3).samples
        places = dict(zip(here.keys, here.paths, strict=True))
        return samples.with_paths(
            places.get(name, path) for name, path in zip(samples.keys, samples.paths, strict=True)
        )

    return f"{key}:", partial(current, uri=uri, relocate=relocate, on_event=on_event, s3=s3, audited=audited)
