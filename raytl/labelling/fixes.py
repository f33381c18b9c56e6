"""Take back a filled table of doubtful labels: check it as a whole, and add its rows to the corrections of the experiment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from raytl.config.labels import LabelsConfig
from raytl.config.schema import Experiment
from raytl.data.corrections import (
    COLUMNS,
    CORRECTION_FORMAT,
    LEAVE_OUT,
    MAX_CORRECTIONS,
    Correction,
    header_of,
    parsed,
    rows_of,
    stored_content,
    text_of,
)
from raytl.data.manifest import listed
from raytl.data.split import apply_splits
from raytl.errors import ConfigError, Conflict, DataError
from raytl.events import OnEvent, ignore
from raytl.labelling.labelled_manifest import labelled_manifest
from raytl.store.conditional import put_over
from raytl.store.contract import ABSENT
from raytl.store.open import open_store
from raytl.store.s3_settings import S3Settings

_FILLED = ("key", "label", "who", "why")
_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class AppliedFixes:
    """The corrections that were added to the file at `uri`: images `relabelled`, `left_out` and `confirmed` (their label is
    right), rows left `blank`, and how many replace an earlier correction. `total` corrections are in the file now."""

    uri: str
    relabelled: int
    left_out: int
    confirmed: int
    blank: int
    replaced: int
    total: int


@dataclass(frozen=True)
class _Images:
    """The label and the split of each image, by key, and the classes of the data."""

    labels: Mapping[str, str]
    splits: Mapping[str, str]
    classes: tuple[str, ...]


def apply_fixes(
    experiment: Experiment, file: Path, now: datetime | None = None, on_event: OnEvent = ignore
) -> AppliedFixes:
    """Check the filled rows of the CSV `file`, and add them to the corrections at `labels.relabel`.

    Raises:
        ConfigError: `labels.relabel` is not set.
        DataError: rows are wrong; every problem at once, and nothing is written.
        StoreError: the corrections cannot be read or written, or another process wrote them meanwhile.
    """
    uri = experiment.labels.relabel
    if uri is None:
        raise ConfigError(
            "labels.relabel: not set; expected the .csv file that collects corrections, such as corrections.csv or "
            "s3://bucket/corrections.csv. Set it in the experiment, so that the data is read with them"
        )
    s3 = S3Settings.of(experiment.storage)
    rows = list(rows_of(_content(file), str(file), _FILLED))
    images = _images(experiment, on_event, s3)
    _check(file, rows, images)
    filled = {row["key"]: row for _, row in rows if row["label"]}
    if not filled:
        raise DataError(
            f"{file}: no row has a label; expected a class, or {LEAVE_OUT}, in the column label. Fill it in"
        )
    when = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    new = [
        Correction(key, images.labels[key], row["label"], row["who"], when, row["why"]) for key, row in filled.items()
    ]
    before = _append(uri, new, s3)
    return AppliedFixes(
        uri,
        relabelled=sum(each.label not in (LEAVE_OUT, each.given) for each in new),
        left_out=sum(each.label == LEAVE_OUT for each in new),
        confirmed=sum(each.label == each.given for each in new),
        blank=len(rows) - sum(bool(row["label"]) for _, row in rows),
        replaced=len({each.key for each in before} & filled.keys()),
        total=len(before) + len(new),
    )


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"{file}: found {file.stat().st_size:,} bytes; expected {_MAX_BYTES:,} at most")
        return file.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{file}: cannot be read ({reason}); expected the table of `raytl labels`, filled in"
        ) from error


def _images(experiment: Experiment, on_event: OnEvent, s3: S3Settings) -> _Images:
    """Return the images as the data has them, without corrections."""
    config = experiment.data
    manifest = labelled_manifest(experiment, LabelsConfig(columns=experiment.labels.columns), on_event)
    if manifest.samples.kinds() - {str}:
        raise DataError(f"{config.uri}: has other targets than classes; expected a task with one class an image")
    samples = apply_splits(manifest.samples, config, s3)
    labels = {key: str(target) for key, target in zip(samples.keys, samples.targets, strict=True)}
    splits = {key: split or "train" for key, split in zip(samples.keys, samples.splits, strict=True)}
    return _Images(labels, splits, manifest.classes)


def _append(uri: str, new: list[Correction], s3: S3Settings) -> tuple[Correction, ...]:
    """Add the corrections to the file, unless it changed since it was read; return those that it had."""
    content, etag = stored_content(uri, s3)
    before = () if content is None else parsed(content, uri)
    if len(before) + len(new) > MAX_CORRECTIONS:
        raise DataError(
            f"{uri}: would have more than {MAX_CORRECTIONS:,} corrections; correct the data itself, and start anew"
        )
    old = b"" if content is None else content.rstrip(b"\r\n") + b"\n"
    columns = COLUMNS if content is None else header_of(content)
    whole = old + text_of(new, content is None, columns).encode()
    if len(whole) > CORRECTION_FORMAT.max_bytes:
        raise DataError(f"{uri}: would have more than {CORRECTION_FORMAT.max_bytes:,} bytes; correct the data itself")
    folder, _, name = uri.rpartition("/")
    store = open_store(folder or ("/" if uri.startswith("/") else "."), s3)
    try:
        put_over(store, name, whole, etag or ABSENT)
    except Conflict as error:
        raise Conflict(
            f"{uri}: another process wrote it meanwhile; nothing was added. Run the command again"
        ) from error
    return before


def _check(file: Path, rows: list[tuple[int, dict[str, str]]], images: _Images) -> None:
    lines = [f"{what}: {len(each)}\n{listed(each)}" for what, each in _problems(rows, images) if each]
    if lines:
        raise DataError(f"{file}: nothing was recorded; fix these rows and apply the file again:\n" + "\n".join(lines))


def _problems(rows: list[tuple[int, dict[str, str]]], images: _Images) -> Iterator[tuple[str, list[str]]]:
    """Yield each kind of problem with its rows."""
    filled = [(line, row) for line, row in rows if row["label"]]
    classes = f"{', '.join(images.classes[:10])}{' ...' if len(images.classes) > 10 else ''}"
    by_key: dict[str, set[str]] = defaultdict(set)
    for _, row in filled:
        by_key[row["key"]].add(row["label"])
    yield (
        "unknown keys, which the data does not have",
        [f"line {line}: {row['key'][:80]!r}" for line, row in rows if row["key"] not in images.labels],
    )
    yield (
        "test images, whose labels are frozen (correct wrong ones in the data itself)",
        [f"line {line}: {row['key'][:80]!r}" for line, row in filled if images.splits.get(row["key"]) == "test"],
    )
    yield (
        f"unknown classes (expected one of {classes}, or {LEAVE_OUT})",
        [
            f"line {line}: {row['label'][:80]!r}"
            for line, row in filled
            if row["label"] not in {*images.classes, LEAVE_OUT}
        ],
    )
    yield (
        "images with two labels",
        [f"{key[:80]}: {', '.join(sorted(each))}" for key, each in by_key.items() if len(each) > 1],
    )
    yield (
        "missing who or why (expected a name and a reason in one line each)",
        [
            f"line {line}: {row['key'][:80]!r}"
            for line, row in filled
            if not (_is_line(row["who"]) and _is_line(row["why"]))
        ],
    )


def _is_line(text: str) -> bool:
    return 0 < len(text) <= 4096 and text.isprintable()
