"""Read a source of images without labels: audit it, and keep it apart from the images that measure.

A copy of a test image among the images that a method may learn from would make the test say too much, so it is an error, by
content and by look. Copies of training and validation images are left out: they are labelled already, or judge the method.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import DataConfig, Experiment
from raytl.data.audit import audit
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.formats.split_folders import read_name
from raytl.data.formats.unlabelled import scan_unlabelled
from raytl.data.manifest import listed
from raytl.data.perceptual_hash import nearest, phashes
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.s3_settings import S3Settings
from raytl.uris import is_table_name

TEST_OF_SOURCE = "test of the source"
"""The split of the test images of a source, in notes."""


@dataclass(frozen=True)
class UnlabelledImages:
    """The images of a source without labels on this node, sorted by key, each content once; `digest` identifies them, and
    `notes` say what was left out and why."""

    samples: SampleTable
    digest: str
    notes: tuple[str, ...] = ()


def read_source(
    uri: str,
    key: str,
    experiment: Experiment,
    labelled: Sequence[Sample],
    preprocess: Preprocess | None = None,
    depth: BitDepth = SIXTEEN_BITS,
    on_event: OnEvent = ignore,
    has_test: bool = False,
) -> UnlabelledImages:
    """Return the images at `uri`, which `key` of the experiment names; `labelled` are the images of all splits with digests.

    With `preprocess`, decoded images are cached on the node. Rows of a manifest whose split is test are left out with their
    copies; if the source `has_test`, so are images in folders whose names say test.

    Raises:
        DataError: there are no images, some cannot be decoded (`data.on_bad_image: error`), some are copies of test images,
            or all are copies of labelled ones.
        StoreError: the bucket cannot be read.
    """
    data, where = experiment.data, f"{key}: {uri}"
    labelled = SampleTable.of(labelled)
    if any(name.startswith(f"{key}:") for name in labelled.keys):
        raise DataError(
            f"{data.uri}: has names that begin with {key}:, which is reserved for images of {uri}; rename them"
        )
    present, warnings = audited_source(uri, key, experiment, preprocess, on_event)
    is_test = _is_test(present, uri, has_test)
    samples, repeated = _once(present.where(~is_test))
    if not len(samples):
        raise DataError(f"{where}: no images beside its test, which is never learned from; expected some. Add them")
    labelled = SampleTable.of([*labelled, *(replace(one, split=TEST_OF_SOURCE) for one in present.where(is_test))])
    usable, copies = without_copies(where, key, samples, labelled, experiment, depth, on_event)
    notes = [f"{key}: {len(usable)} images of {uri}", *warnings, *copies]
    if is_test.any():
        notes.append(f"{key}: {int(is_test.sum())} images of its test are not used")
    if repeated:
        notes.append(f"{key}: {repeated} images are exact copies of another one there, and count once")
    return UnlabelledImages(usable, hashlib.sha256("".join(usable.digests).encode()).hexdigest(), tuple(notes))


def test_images(
    uri: str, key: str, experiment: Experiment, preprocess: Preprocess | None, on_event: OnEvent
) -> list[Sample]:
    """Return the images of the test of a source; see `read_source`."""
    present, _ = audited_source(uri, key, experiment, preprocess, on_event)
    return [replace(one, split=TEST_OF_SOURCE) for one in present.where(_is_test(present, uri, has_test=True))]


def _is_test(present: SampleTable, uri: str, has_test: bool) -> NDArray[np.bool_]:
    """Return whether each image is in the test of its source: by the split of its row, or by a folder, as of labelled data."""
    folders = [name.partition(":")[2].rpartition("/")[0] for name in present.keys]
    plain = is_table_name(uri)  # there, a column is the split, and a bucket may have any name
    says = {folder: has_test and any(_says_test(part, plain) for part in folder.split("/")) for folder in set(folders)}
    return np.array(
        [split == "test" or says[folder] for split, folder in zip(present.splits, folders, strict=True)], np.bool_
    )


def _says_test(name: str, plain: bool) -> bool:
    reading = read_name(name)
    return reading.split == "test" and not (plain and reading.rest)


def without_copies(
    where: str,
    key: str,
    samples: SampleTable,
    labelled: SampleTable,
    experiment: Experiment,
    depth: BitDepth = SIXTEEN_BITS,
    on_event: OnEvent = ignore,
) -> tuple[SampleTable, list[str]]:
    """Return the samples of the source `where` without copies of `labelled` images, by content and by look, and notes on them.

    Raises:
        DataError: some are copies of test images, or all are copies of labelled ones.
    """
    s3, channels = S3Settings.of(experiment.storage), experiment.model.channels
    hashes = phashes([*labelled, *samples], experiment.data.max_pixels, depth, on_event, s3, channels)
    of_row = _copies(samples, labelled, hashes)
    _refuse_test(where, samples, labelled, of_row)
    usable = samples.where(of_row < 0)
    if not len(usable):
        raise DataError(
            f"{where}: all {len(samples)} images are copies of labelled images; expected others. Remove {key}"
        )
    notes: list[str] = []
    if len(usable) < len(samples):
        examples = [
            _pair(samples, labelled, row, int(of_row[row])) for row in np.flatnonzero(of_row >= 0)[:10].tolist()
        ]
        notes.append(
            f"{key}: {len(samples) - len(usable)} copies of labelled images left out:\n{listed(examples, 5, len(samples) - len(usable))}"
        )
    return usable, notes


def audited_source(
    uri: str, key: str, experiment: Experiment, preprocess: Preprocess | None, on_event: OnEvent
) -> tuple[SampleTable, tuple[str, ...]]:
    """Return all images of a source that can be decoded, with the split of their rows, and warnings about the others."""
    data, s3 = experiment.data, S3Settings.of(experiment.storage)
    manifest = scan_unlabelled(uri, key, on_event, stream=data.stream, zip_encoding=data.zip_encoding, s3=s3)
    tests = {
        name for name, split in zip(manifest.samples.keys, manifest.samples.splits, strict=True) if split == "test"
    }
    samples = SampleTable.of(replace(one, split="train") for one in manifest.samples) if tests else manifest.samples
    audited = audit(
        replace(manifest, samples=samples), _as_training(data), preprocess, on_event, s3, experiment.model.channels
    )
    usable = audited.samples
    if tests:
        usable = SampleTable.of(replace(one, split="test") if one.key in tests else one for one in usable)
    return usable, audited.warnings


def _as_training(data: DataConfig) -> DataConfig:
    """Return the settings with which all images of a source are read as training images."""
    return data.model_copy(update={"split_file": None, "columns": {}, "val_fraction": 0.0, "test_fraction": 0.0})


def _once(samples: SampleTable) -> tuple[SampleTable, int]:
    """Return the first sample of each content, and the number of others."""
    first = np.unique(np.array(list(samples.digests)), return_index=True)[1]
    return samples.take(np.sort(first)), len(samples) - len(first)


def _copies(samples: SampleTable, labelled: SampleTable, hashes: dict[str, int]) -> NDArray[np.int64]:
    """Return the row in `labelled` that each sample is a copy of, `(n,)`: of the same content, or else one that looks the same;
    -1 if there is none. Test images come before others."""
    order = np.argsort([split != "test" for split in labelled.splits], kind="stable")
    digests = [labelled.digests[i] for i in order.tolist()]
    by_content = {digest: place for place, digest in reversed(list(enumerate(digests)))}
    hashed = [place for place, digest in enumerate(digests) if digest in hashes]
    near = nearest(
        [hashes.get(digest, -1) & (2**64 - 1) for digest in samples.digests],
        [hashes[digests[place]] for place in hashed],
    )
    places = [
        by_content.get(digest, -1 if look is None or digest not in hashes else hashed[look])
        for digest, look in zip(samples.digests, near, strict=True)
    ]
    return np.array([order[place] if place >= 0 else -1 for place in places], np.int64)


def _refuse_test(where: str, samples: SampleTable, labelled: SampleTable, of_row: NDArray[np.int64]) -> None:
    wrong = [row for row, copied in enumerate(of_row.tolist()) if copied >= 0 and labelled.splits[copied] == "test"]
    if wrong:
        pairs = [_pair(samples, labelled, row, int(of_row[row])) for row in wrong[:10]]
        raise DataError(
            f"{where}: {len(wrong)} images are copies of test images, from which nothing may be learned; expected other images:\n"
            f"{listed(pairs, total=len(wrong))}\nRemove them from the source, or from the test split."
        )


def _pair(samples: SampleTable, labelled: SampleTable, row: int, copied: int) -> str:
    how = "=" if samples.digests[row] == labelled.digests[copied] else "looks like"
    return f"{samples.keys[row].partition(':')[2]!r} {how} {labelled.keys[copied]!r} ({labelled.splits[copied]})"
