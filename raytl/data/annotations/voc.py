"""Read Pascal VOC: one XML file for each image, and optionally lists of its splits in ImageSets/Main.

Source: host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc. Corners are the first and last pixel, counted from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from raytl.data.annotations.annotated import AnnotatedImage, AnnotatedObject, Corners
from raytl.data.annotations.dataset_files import DatasetFiles, split_of
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.origin import Origin, voc_origin
from raytl.data.annotations.split_lists import split_lists
from raytl.data.annotations.xml_tree import Element, XmlFault, parse
from raytl.data.targets import MAX_SIDE

_ROOT = "annotation"
_BROKEN = "annotation files that cannot be read"
_NO_IMAGE = "annotation files of images that do not exist"
_NO_NAME = "objects without a name or without a box"
_SNIFFED_BYTES = 4096


def is_annotation(content: bytes) -> bool:
    """Return whether the beginning of an XML file is that of a VOC annotation."""
    return b"<annotation" in content[:_SNIFFED_BYTES]


def read(files: DatasetFiles, keys: Sequence[str], origin: Origin, findings: Findings) -> list[AnnotatedImage]:
    """Return the images of the XML files `keys`, with their objects; with split lists, only the images that they list."""
    lists = split_lists(files, "Main")
    images = []
    for key in keys:
        stem = PurePosixPath(key).stem
        if not lists or stem in lists:
            image = _image(files, key, findings)
            images += [replace(image, split=lists.get(stem, image.split))] if image else []
    if lists and (unlisted := len(keys) - sum(PurePosixPath(key).stem in lists for key in keys)):
        findings.warnings.append(f"{files.uri}: {unlisted} annotated images are in no list of ImageSets/Main; left out")
    return _from_origin(images, origin, findings, files.uri)


def _from_origin(images: list[AnnotatedImage], origin: Origin, findings: Findings, uri: str) -> list[AnnotatedImage]:
    """Return the images with the corners of their boxes as edges counted from 0."""
    boxes = [(each.box, image.size or (MAX_SIDE, MAX_SIDE)) for image in images for each in image.objects if each.box]
    if origin == "auto" and boxes:
        origin, why = voc_origin(boxes)
        findings.warnings.append(f"{uri}: annotations.box_origin {origin}: {why}")
    if origin == 0:
        return images
    return [replace(image, objects=tuple(map(_from_one, image.objects))) for image in images]


def _from_one(each: AnnotatedObject) -> AnnotatedObject:
    """Move the near edge of a box by a pixel, unless it has no area as it was drawn."""
    if each.box is None or each.box[2] <= each.box[0] or each.box[3] <= each.box[1]:
        return each
    x_min, y_min, x_max, y_max = each.box
    return replace(each, box=(x_min - 1, y_min - 1, x_max, y_max))


def _image(files: DatasetFiles, key: str, findings: Findings) -> AnnotatedImage | None:
    try:
        root = parse(files.content(key))
    except XmlFault as fault:
        findings.problem(_BROKEN, f"{key}:{fault.line}: {fault}")
        return None
    if root.tag != _ROOT:
        findings.problem(_BROKEN, f"{key}:{root.line}: <{root.tag[:60]}>; expected <{_ROOT}>")
        return None
    name = root.value("filename").replace("\\", "/").rpartition("/")[2]
    image = files.image_of_stem(key) or (files.image_named(name, key) if name else None)
    if image is None:
        findings.problem(_NO_IMAGE, f"{key}: {name[:200]!r}")
        return None
    objects = [each for node in root.all("object") if (each := _object(node, key, findings))]
    return AnnotatedImage(image, files.path(image), key, objects, split_of(image), _size(root))


def _size(root: Element) -> tuple[int, int] | None:
    """Return the annotated size; None if it is missing, or 0 as some tools write it."""
    texts = [root.value(f"size/{side}") for side in ("width", "height")]
    if not all(side.isascii() and side.isdigit() and 0 < len(side) < 8 for side in texts):
        return None
    width, height = map(int, texts)
    return (width, height) if width and height else None


def _object(node: Element, key: str, findings: Findings) -> AnnotatedObject | None:
    place, label, box = f"{key}:{node.line}", node.value("name"), _corners(node)
    if not label or len(label) > 4096 or box is None:
        findings.problem(_NO_NAME, place)
        return None
    return AnnotatedObject(label, place, box, crowd=node.value("difficult") == "1")


def _corners(node: Element) -> Corners | None:
    try:
        x_min, y_min, x_max, y_max = (float(node.value(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return None
    box = (x_min, y_min, x_max, y_max)
    return box if all(map(math.isfinite, box)) else None
