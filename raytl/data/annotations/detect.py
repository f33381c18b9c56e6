"""Detect the annotation formats in a folder of images by their files, and read the one that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations import coco, labelme, masks, voc, yolo
from raytl.data.annotations.annotated import AnnotatedImage
from raytl.data.annotations.dataset_files import DatasetFiles
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.mask_folders import is_mask, is_mask_folder
from raytl.data.annotations.objects import samples_of
from raytl.data.bad_image import BadImage
from raytl.data.decode import opened_image
from raytl.data.manifest import Sample
from raytl.data.mask_pixels import values_of
from raytl.data.targets import Mask
from raytl.errors import DataError

Format = Literal["coco", "voc", "yolo", "labelme", "masks"]
SUFFIXES = (".json", ".xml", ".yaml", ".yml", ".txt", ".names")
_SNIFFED_MASKS = 3
_SNIFFED_DOCUMENTS = 3
_MOST_MASK_VALUES = 64
_MASK_PIXELS = 1 << 28


@dataclass(frozen=True)
class Reader:
    """A format that a folder has, and the function that reads its samples."""

    format: Format
    samples: Callable[[], list[Sample]]


def reader_for(
    files: DatasetFiles, config: AnnotationsConfig, prefer: Sequence[type], findings: Findings
) -> Reader | None:
    """Return the reader of `annotations.format`, or of the format that is there; None for images without annotations.

    Of several formats the first of COCO, VOC, YOLO, LabelMe and masks is read, or masks if `prefer` begins with `Mask`.

    Raises:
        DataError: there is nothing of the format that `annotations.format` names, or a file is broken.
    """
    if config.format == "table":
        raise DataError(
            f"{files.uri}: a folder; annotations.format is table, expected a .csv, .tsv, .jsonl or .parquet file"
        )
    if config.format != "auto":
        if reader := _FINDERS[config.format](files, config, findings, False):
            return reader
        raise DataError(f"{files.uri}: {_MISSING[config.format]}. Correct data.uri, or set annotations.format: auto")
    if not _may_be_annotated(files):
        return None
    order = sorted(_FINDERS, key=lambda name: (name == "masks") != (next(iter(prefer), None) is Mask))
    readers = [reader for name in order if (reader := _FINDERS[name](files, config, findings, True))]
    if len(readers) > 1:
        others = " and ".join(reader.format for reader in readers[1:])
        findings.warnings.append(
            f"{files.uri}: annotations are read from {readers[0].format}; there is also {others}. Set annotations.format to choose"
        )
    return readers[0] if readers else None


def _may_be_annotated(files: DatasetFiles) -> bool:
    """Return whether there are files or folders of annotations, by their names: folders of a million photos have none."""
    return any(key.lower().endswith(SUFFIXES) for key in files.keys) or any(
        is_mask_folder(folder) for folder in {key.rpartition("/")[0] for key in files.keys}
    )


def _objects(read: Callable[[], list[AnnotatedImage]], files: DatasetFiles, findings: Findings) -> list[Sample]:
    images = read()
    annotated = {image.key for image in images}
    if unlisted := sum(key not in annotated and not is_mask(key) for key in files.images):
        findings.warnings.append(f"{files.uri}: {unlisted} images are not annotated and are left out")
    return samples_of(images, findings)


def _coco(files: DatasetFiles, config: AnnotationsConfig, findings: Findings, _: bool) -> Reader | None:
    documents = coco.documents(files)
    if not documents:
        return None
    return Reader(
        "coco", lambda: _objects(lambda: coco.read(files, documents, config.box_origin, findings), files, findings)
    )


def _voc(files: DatasetFiles, config: AnnotationsConfig, findings: Findings, sniff: bool) -> Reader | None:
    keys = files.ending(".xml")
    if not keys or (sniff and not voc.is_annotation(files.content(keys[0]))):
        return None
    return Reader("voc", lambda: _objects(lambda: voc.read(files, keys, config.box_origin, findings), files, findings))


def _yolo(files: DatasetFiles, _: AnnotationsConfig, findings: Findings, sniff: bool) -> Reader | None:
    layout = yolo.layout(files, findings)
    labels = yolo.label_files(files, layout)
    if (not labels and sniff) or (layout is None and not (labels and yolo.is_tree(labels))):
        return None
    if sniff and labels and not yolo.is_label(files.content(next(iter(labels.values())))):
        return None
    if layout is None:
        raise DataError(
            f"{files.uri}: YOLO text files without class names; expected data.yaml with `names`, or classes.txt with a name a line"
        )
    return Reader("yolo", lambda: _objects(lambda: yolo.read(files, layout, labels, findings), files, findings))


def _labelme(files: DatasetFiles, _: AnnotationsConfig, findings: Findings, sniff: bool) -> Reader | None:
    stems = {PurePosixPath(key).stem for key in files.images}
    keys = [key for key in files.ending(".json") if PurePosixPath(key).stem in stems or not sniff]
    if not keys or (sniff and not any(_is_labelme(files, key) for key in keys[:_SNIFFED_DOCUMENTS])):
        return None
    return Reader("labelme", lambda: _objects(lambda: labelme.read(files, keys, findings), files, findings))


def _is_labelme(files: DatasetFiles, key: str) -> bool:
    """Return whether a file is a LabelMe document; JSON beside an image may be anything, and need not be readable."""
    try:
        return labelme.is_document(files.json(key))
    except DataError:
        return False


def _masks(files: DatasetFiles, config: AnnotationsConfig, findings: Findings, sniff: bool) -> Reader | None:
    matched = masks.pairs(files, suffixes=not sniff)
    if matched is None or (
        sniff and not all(_is_mask(files, key) for key in list(matched.masks.values())[:_SNIFFED_MASKS])
    ):
        return None
    void = None if config.void == "auto" else tuple(config.void)
    return Reader("masks", lambda: masks.read(files, matched, void, findings))


def _is_mask(files: DatasetFiles, key: str) -> bool:
    """Return whether an image has a palette or few values: photos of equal names in two class folders are not masks."""
    try:
        with opened_image(files.image_bytes(key), _MASK_PIXELS) as image:
            return image.mode == "P" or len(np.unique(values_of(image))) <= _MOST_MASK_VALUES
    except BadImage:
        return True  # the audit reports it


_FINDERS: Mapping[Format, Callable[[DatasetFiles, AnnotationsConfig, Findings, bool], Reader | None]] = {
    "coco": _coco,
    "voc": _voc,
    "yolo": _yolo,
    "labelme": _labelme,
    "masks": _masks,
}
_MISSING: Mapping[Format, str] = {
    "coco": "no COCO document; expected a .json file with images, annotations and categories",
    "voc": "no Pascal VOC files; expected an .xml file for each image",
    "yolo": "no YOLO dataset; expected data.yaml or classes.txt, and labels/<name>.txt for images/<name>.jpg",
    "labelme": "no LabelMe documents; expected a .json file for each image",
    "masks": "no masks; expected masks/<name>.png for images/<name>.jpg",
}
