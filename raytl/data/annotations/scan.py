"""Scan annotated images, in a folder or in a table, into a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations import boxes_table, labels_table
from raytl.data.annotations.dataset_files import DatasetFiles
from raytl.data.annotations.detect import SUFFIXES, reader_for
from raytl.data.annotations.findings import Findings, note_lines
from raytl.data.annotations.mask_folders import mask_keys
from raytl.data.annotations.objects import samples_of
from raytl.data.annotations.table_images import ImageRow, TableImages, table_of
from raytl.data.annotations.table_kind import BoxColumns, LabelColumns, box_columns, label_columns
from raytl.data.annotations.table_rows import table_rows
from raytl.data.formats.tables import Table
from raytl.data.manifest import Manifest, Sample, build_manifest
from raytl.errors import DataError

_SNIFFED_ROWS = 1000


def scan_folder(
    root: Path, uri: str, keys: Iterable[str], config: AnnotationsConfig, prefer: Sequence[type] = ()
) -> Manifest | None:
    """Return the manifest of annotated images below `root`; None if there are no annotations, or if `prefer`, the types of
    target that the task accepts, are class names alone.

    Raises:
        DataError: annotations are broken or do not fit their images; all problems are listed.
    """
    if prefer == (str,) and config.format == "auto":
        return None
    files = DatasetFiles(root, uri, tuple(keys))
    findings = Findings(drop_bad=config.on_bad_box == "drop")
    reader = reader_for(files, config, prefer, findings)
    return None if reader is None else _manifest(uri, reader.samples(), findings)


def annotation_keys(keys: Sequence[str], config: AnnotationsConfig, prefer: Sequence[type]) -> list[str]:
    """Return the keys that decide whether objects are annotated images: none if their names show that they are not."""
    if prefer == (str,) and config.format == "auto":
        return []
    return few if (few := [key for key in keys if key.lower().endswith(SUFFIXES)]) else mask_keys(keys)[:1]


def is_annotated(root: Path, uri: str, keys: Iterable[str], config: AnnotationsConfig, prefer: Sequence[type]) -> bool:
    """Return whether `scan_folder` reads annotations of `keys`, of which only the annotation files are below `root`."""
    return reader_for(DatasetFiles(root, uri, tuple(keys)), config, prefer, Findings()) is not None


def table_columns(place: Path, config: AnnotationsConfig) -> BoxColumns | LabelColumns | None:
    """Return the columns of a table of boxes or of several labels; None for a table of path and label.

    Raises:
        DataError: the table cannot be read, or `annotations.format` is table and it has no such columns.
    """
    try:
        table = table_rows(place)
        boxes, labels = box_columns(table.header), label_columns(table.header)
        first = list(islice(table.rows, _SNIFFED_ROWS)) if labels and not boxes and labels.attributes else []
    except DataError:
        if config.format == "table":
            raise
        return None  # the reader of manifests reports it
    if boxes is None and labels is not None and labels.attributes and not labels_table.are_attributes(first, labels):
        labels = None
    if boxes is None and labels is None and config.format == "table":
        raise DataError(
            f"{place}: found the columns {', '.join(map(repr, table.header[:20]))}; expected path, xmin, ymin, xmax, ymax and "
            "label, or path and a column of 0 and 1 for each attribute. Rename them, or set annotations.format: auto"
        )
    return boxes or labels


def table_paths(place: Path, columns: BoxColumns | LabelColumns) -> Table:
    """Return a table of the images that an annotated table lists, for `tables.keys_in` and `tables.uris_in`."""
    paths = {boxes_table.text_of(cells[columns.path]): where for where, cells in table_rows(place).rows}
    return table_of(place, [ImageRow(where, path, "") for path, where in paths.items()])


def scan_table(
    place: Path,
    uri: str,
    columns: BoxColumns | LabelColumns,
    config: AnnotationsConfig,
    elsewhere: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of the images in an annotated table; `elsewhere` maps paths in buckets to files on this node.

    Raises:
        DataError: rows are broken or do not fit their images; all problems are listed.
    """
    table, findings = table_rows(place), Findings(drop_bad=config.on_bad_box == "drop")
    images = TableImages(place, uri, elsewhere or {})
    if isinstance(columns, LabelColumns):
        samples = labels_table.read(table.rows, table.header, columns, images, findings)
    else:
        samples = samples_of(boxes_table.read(table.rows, columns, images, config.box_origin, findings), findings)
    return _manifest(uri, samples, findings)


def _manifest(uri: str, samples: Sequence[Sample], findings: Findings) -> Manifest:
    findings.check(uri)
    notes = findings.notes()
    manifest = build_manifest(uri, samples, warnings=[*findings.warnings, *note_lines(notes)])
    return replace(manifest, notes=notes)
