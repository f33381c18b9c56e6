"""Define how runs, sweeps and snapshots store samples: JSON lines of key, path, target, split and digest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring_ascii
from typing import Annotated, Any

import numpy as np

from raytl.data.sample import Cells, Sample
from raytl.data.sample_table import SampleTable
from raytl.data.texts import Coded
from raytl.stored import Format
from raytl.stored.bounds import Bound

_SPLITS = (None, "train", "val", "test")


def _is_sample(sample: Sample) -> bool:
    is_open = bool(sample.key) and sample.target != "" and "\0" not in sample.path and "\0" not in sample.key
    return is_open and sample.split in _SPLITS and (not sample.digest or _is_hex(sample.digest))


def _is_hex(digest: str) -> bool:
    return len(digest) <= 64 and not digest.strip("0123456789abcdef")


SAMPLE_FORMAT = Format[Sample](
    Annotated[
        Sample,
        Bound("a key and a target, no NUL in key or path, a split (train, val, test or null) and a digest", _is_sample),
    ],
    "the record of a sample",
    "The file was damaged or edited: restore or regenerate it.",
    max_bytes=(1 << 20) - 1,
)


_BEFORE, _AFTER = '{"key": "", "path": "", ', '"split": null, "digest": ""}'


def records(samples: SampleTable, dumps: Callable[[Any], str] = json.dumps) -> Iterator[str]:
    """Yield `Sample.record` of each sample as JSON by `dumps`; the text of a target that repeats is made once."""
    targets = samples.targets
    text: Callable[[str], str] = (
        encode_basestring_ascii if dumps is json.dumps else dumps
    )  # the same, five times as fast
    if not isinstance(targets, Coded):
        yield from (dumps(sample.record()) for sample in samples)
        return
    records_of = Coded([_target_text(Sample("", "", target), dumps) for target in targets.values], targets.codes)
    splits = Coded([json.dumps(split) for split in samples.splits.values], samples.splits.codes)
    given = samples.columns or Coded([()], np.zeros(len(samples), np.uint8))
    ends = Coded([_columns_text(cells, dumps) for cells in given.values], given.codes)
    columns = zip(samples.keys, samples.paths, records_of, splits, samples.digests, ends, strict=True)
    for key, path, target, split, digest, end in columns:
        yield f'{{"key": {text(key)}, "path": {text(path)}, {target}"split": {split}, "digest": "{digest}"{end}}}'


def _columns_text(cells: Cells, dumps: Callable[[Any], str]) -> str:
    return f', "columns": {dumps([list(each) for each in cells])}' if cells else ""


def _target_text(sample: Sample, dumps: Callable[[Any], str]) -> str:
    return dumps(sample.record()).removeprefix(_BEFORE).removesuffix(_AFTER)
