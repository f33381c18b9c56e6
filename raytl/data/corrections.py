"""Corrections of labels (`labels.relabel`): a CSV file to which rows are only added, each with who corrected what, when and why.

They apply where the data is read, so corrected data is another snapshot and the old one stays. The newest correction of an
image counts. Test images are never corrected: whoever relabels them after a model has ranked the labels measures that model
on its own answers. The file is checked as a whole: it may have been written by anybody.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated

import numpy as np

from raytl.config.schema import DataConfig
from raytl.data.manifest import Manifest, listed
from raytl.data.sample_columns import TargetWriter
from raytl.data.split import apply_splits
from raytl.data.targets import Target
from raytl.data.unicode_names import nfc
from raytl.errors import DataError, NotFound
from raytl.sanitize import csv_cell, from_cell
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Bound, Moment, Name, at_least

LEAVE_OUT = "-"
"""The label of an image that shows no class, or several: it is left out."""
MAX_CORRECTIONS = 1_000_000
_Key = Annotated[Name, at_least(1, "character")]
_Text = Annotated[_Key, Bound("text without line breaks", str.isprintable)]


@dataclass(frozen=True, slots=True)
class Correction:
    """The label of the image `key` is `label` (`-`: leave it out) and not `given`; who says so, when, and why."""

    key: _Key
    given: Name
    label: _Key
    who: _Text
    when: Moment
    why: _Text


CORRECTION_FORMAT = Format[Correction](
    Correction,
    "a correction of a label",
    "Correct the row, or restore the file; `raytl labels --apply` adds rows to it.",
    DataError,
    max_bytes=256 << 20,
)
_TYPED = ("label", "who", "when", "why")
"""Columns that people fill in: white space around the text means nothing."""
COLUMNS = tuple(each.name for each in fields(Correction))


def read_corrections(uri: str, s3: S3Settings = ENVIRONMENT) -> tuple[Correction, ...]:
    """Return the corrections in the file at `uri`, oldest first; none if there is no such file.

    Raises:
        DataError: a row is wrong; all are listed.
        StoreError: the store cannot be read.
    """
    content = stored_content(uri, s3)[0]
    return () if content is None else parsed(content, uri)


def stored_content(uri: str, s3: S3Settings = ENVIRONMENT) -> tuple[bytes | None, str | None]:
    """Return the bytes of the file and its etag; None for both if there is no such file."""
    folder, _, name = uri.rpartition("/")
    store = open_store(folder or ("/" if uri.startswith("/") else "."), s3)
    try:
        info = retried(lambda: store.stat(name))
        return retried(lambda: store.get_bytes(name, max_bytes=CORRECTION_FORMAT.max_bytes)), info.etag
    except NotFound:
        return None, None


def parsed(content: bytes, where: str) -> tuple[Correction, ...]:
    """Return the corrections in the bytes of a file, which errors call `where`.

    Raises:
        DataError: it is not such a file, or rows are wrong; all are listed.
    """
    corrections, problems = [], []
    for line, row in rows_of(content, where, COLUMNS):
        try:
            corrections.append(CORRECTION_FORMAT.typed(row, f"line {line}"))
        except DataError as error:
            problems.append(str(error).removesuffix(f". {CORRECTION_FORMAT.advice}"))
    if problems:
        raise DataError(
            f"labels.relabel: {where}: {len(problems)} rows are no corrections:\n{listed(problems)}\n{CORRECTION_FORMAT.advice}"
        )
    return tuple(corrections)


def rows_of(content: bytes, where: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line and the text in each of `columns` of the rows of a CSV file, names in NFC; blank rows are left out.

    Raises:
        DataError: it is not CSV in UTF-8, lacks a column, or has too many rows.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{where}: no column {' and '.join(map(repr, missing))}; expected the columns {', '.join(columns)}, as "
                "`raytl labels` writes them"
            )
        for count, row in enumerate(reader):
            if count >= MAX_CORRECTIONS:
                raise DataError(f"{where}: more than {MAX_CORRECTIONS:,} rows; expected fewer. Split the file")
            cells = {name: nfc(from_cell(row[name] or "")) for name in columns}
            cells |= {name: cell.strip() for name, cell in cells.items() if name in _TYPED}
            if any(cells.values()):
                yield reader.line_num, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where}: cannot be read ({error}); expected a CSV table in UTF-8") from error


def header_of(content: bytes) -> tuple[str, ...]:
    """Return the columns of a file that `parsed` takes, in its order."""
    return tuple(next(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)))


def text_of(corrections: Iterable[Correction], with_header: bool, columns: Sequence[str] = COLUMNS) -> str:
    """Return the CSV rows of corrections; cells of other `columns` are empty."""
    rows: list[Sequence[str]] = [columns] if with_header else []
    rows += [[str(cells.get(name, "")) for name in columns] for cells in map(asdict, corrections)]
    return "".join(",".join(map(csv_cell, row)) + "\n" for row in rows)


def with_corrections(
    manifest: Manifest, config: DataConfig, relabel: str | None, s3: S3Settings = ENVIRONMENT
) -> Manifest:
    """Return the manifest with the corrections of `labels.relabel`, and its images in their splits; the same one without a file.

    Raises:
        DataError: rows of the file are wrong, are of test images, or name classes that the data does not have; or images have
            another target than a class.
    """
    if relabel is None:
        return manifest
    newest = {each.key: each for each in read_corrections(relabel, s3)}
    if not newest:
        warning = f"labels.relabel: {relabel} has no corrections yet"
        return replace(manifest, warnings=(*manifest.warnings, warning))
    if manifest.samples.kinds() - {str}:
        raise DataError(
            f"labels.relabel: {relabel} has classes of whole images; expected a task with one class an image. Remove it"
        )
    placed = replace(manifest, samples=apply_splits(manifest.samples, config, s3))
    refuse(placed, newest, relabel)
    return _applied(placed, newest, relabel)


def refuse(manifest: Manifest, corrections: Mapping[str, Correction], relabel: str) -> None:
    """Refuse corrections of test images, and those with classes that the data does not have.

    Raises:
        DataError: with all of them.
    """
    samples = manifest.samples
    test = [
        key for key, split in zip(samples.keys, samples.splits, strict=True) if split == "test" and key in corrections
    ]
    unknown = [
        f"{each.key}: {each.label!r}"
        for each in corrections.values()
        if each.label not in {*manifest.classes, LEAVE_OUT}
    ]
    problems = []
    if test:
        problems.append(
            f"{len(test)} corrections of test images:\n{listed(test)}\nThe test split is frozen: a correction that follows the ranking "
            "of a model favors that model. Remove these rows; correct wrong test labels in the data itself, and evaluate every "
            "model again"
        )
    if unknown:
        classes = f"{', '.join(manifest.classes[:10])}{' ...' if len(manifest.classes) > 10 else ''}"
        problems.append(f"{len(unknown)} labels that are no class of the data ({classes}):\n{listed(unknown)}")
    if problems:
        raise DataError(f"labels.relabel: {relabel}: " + "\n".join(problems))


def _applied(manifest: Manifest, newest: Mapping[str, Correction], relabel: str) -> Manifest:
    samples, targets, stale = manifest.samples, list[Target](), []
    for key, target in zip(samples.keys, samples.targets, strict=True):
        each = newest.get(key)
        if each is not None and each.given not in ("", target) and each.label != target:
            stale.append(f"{key}: was {each.given!r}, is {target!r}, corrected to {each.label!r}")
        targets.append(target if each is None or each.label == LEAVE_OUT else each.label)
    written = TargetWriter()
    written.extend(targets)
    changed = sum(new != old for new, old in zip(targets, samples.targets, strict=True))
    is_kept = np.array([newest[key].label != LEAVE_OUT if key in newest else True for key in samples.keys])
    table = replace(samples, targets=written.column(), origin=None).where(is_kept)
    absent = newest.keys() - set(samples.keys)
    counts = {"relabelled": changed, "left_out": int((~is_kept).sum())}
    notes = [f"labels.relabel: {relabel}: labels corrected: {changed:,}, images left out: {counts['left_out']:,}"]
    if absent:
        notes.append(f"{len(absent)} corrections of images that the data no longer has:\n{listed(sorted(absent), 3)}")
    if stale:
        notes.append(f"{len(stale)} labels changed in the data after they were corrected:\n{listed(stale, 3)}")
    return replace(manifest, samples=table, warnings=(*manifest.warnings, *notes), corrections=counts)
