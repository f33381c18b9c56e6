"""Read a split as the run recorded it, and check that its files are unchanged."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from raytl.data.feedback import KEYS
from raytl.data.feedback_samples import locate_feedback
from raytl.data.local_paths import relocated
from raytl.data.manifest import Sample, listed
from raytl.data.samples import SAMPLE_FORMAT
from raytl.data.sources import located
from raytl.data.targets import Mask
from raytl.errors import DataError, Denied, NotFound, RunError, Unavailable, first_line
from raytl.events import Message, OnEvent, Work
from raytl.run import RunFolder, journal
from raytl.store.open import fetched
from raytl.store.pins import pin_paths
from raytl.store.pulled import places_with
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket


def recorded(folder: RunFolder, split: str) -> tuple[Sample, ...]:
    """Return the samples of `split` in samples.jsonl.

    Raises:
        RunError: the record is missing, or has no image in that split.
    """
    records = journal.read(folder.samples, SAMPLE_FORMAT)
    if not records:
        raise RunError(f"{folder.samples}: no samples recorded; `raytl train` writes them when the run begins")
    samples = tuple(record for record in records if record.split == split)
    if not samples:
        splits = sorted({str(record.split) for record in records})
        raise RunError(
            f"{folder.root}: the run has no images in its {split} split (it has {', '.join(splits)}); "
            f"expected some. Use another split, or train with data.{split}_fraction above 0"
        )
    return samples


def verified(
    samples: Sequence[Sample],
    uri: str,
    on_event: OnEvent,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
    feedback: str | None = None,
) -> Sequence[Sample]:
    """Return the samples with the current paths of their files, each with the recorded sha256.

    Files that moved are located in `uri` by their keys (a bucket's cache on another node), labelled feedback images in the prefix
    `feedback`. Files that an earlier pull left on this node and that differ are pulled again.

    Raises:
        DataError: files that changed or are missing; all are counted, ten are named.
        StoreError: files differ, and a process reads the earlier ones, so that they cannot be pulled again.
    """
    pin_paths(sample.path for sample in samples)
    missing = any(not in_bucket(sample.path) and not Path(sample.path).is_file() for sample in samples)
    moved = partial(relocated, uri=uri, on_event=on_event, zip_encoding=zip_encoding, s3=s3)
    returned = [(KEYS, partial(locate_feedback, uri=feedback, on_event=on_event, s3=s3))] if feedback else []
    present = located(samples, returned, moved) if missing else tuple(samples)
    problems = _checked(present, s3, on_event)
    if problems and not missing and places_with(path for i in problems for path in _files(present[i])):
        differ = f"{len(problems)} of {len(samples)} images on this node differ from the run's record"
        on_event(Message(f"{uri}: {differ}; pulling them again"))
        with _tolerated(uri, on_event):
            present = located(samples, returned, moved)
        problems = _checked(present, s3, on_event)
    if problems:
        lines = [f"{present[i].key!r}: {problem}" for i, problem in problems.items()]
        raise DataError(
            f"{uri}: {len(problems)} of {len(samples)} images differ from the run's record (samples.jsonl), so scores "
            f"would not be this run's:\n{listed(lines)}\n"
            "Restore the files, or train again on the current data."
        )
    return present


@contextmanager
def _tolerated(uri: str, on_event: OnEvent) -> Iterator[None]:
    """Report a bucket that cannot be read: the files that differ are the error then."""
    try:
        yield
    except (Denied, NotFound, Unavailable) as error:
        on_event(Message(f"{uri}: {first_line(error)}; the files on this node stay as they are", "warning"))


def _checked(present: Sequence[Sample], s3: S3Settings, on_event: OnEvent) -> dict[int, str]:
    """Return what is wrong with the files of samples, by the place of the sample."""
    problems = {}
    with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:
        for place, problem in enumerate(pool.map(lambda sample: _problems(sample, s3), present)):
            if problem:
                problems[place] = problem
            if (done := place + 1) % 100 == 0 or done == len(present):
                on_event(Work("checking files", done, len(present), "files"))
    return problems


def _files(sample: Sample) -> tuple[str, ...]:
    """Return the paths of the image and of its mask."""
    return (sample.path, sample.target.path) if isinstance(sample.target, Mask) else (sample.path,)


def _problems(sample: Sample, s3: S3Settings) -> str:
    """Return what is wrong with the image, or with the file of its mask; empty if they are unchanged."""
    mask = sample.target if isinstance(sample.target, Mask) else None
    wrong = "" if mask is None or not mask.digest else _problem(mask.path, mask.digest, s3)
    return _problem(sample.path, sample.digest, s3) or (f"the mask {mask.key!r} {wrong}" if mask and wrong else "")


def _problem(place: str, recorded_digest: str, s3: S3Settings) -> str:
    try:
        if in_bucket(place):
            digest = hashlib.sha256(retried(lambda: fetched(place, s3=s3))).hexdigest()
        elif (path := Path(place)).exists() and not path.is_file():
            return "is not a regular file"  # reading a pipe or a device would not end
        else:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except NotFound:
        return "is no longer in its bucket"
    return "" if digest == recorded_digest else "its content changed (sha256 differs)"
