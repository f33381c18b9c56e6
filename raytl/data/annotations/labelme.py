"""Read LabelMe JSON: a document beside each image, with shapes by points in pixels.

Rectangles are boxes; polygons and circles are outlines. Shapes of one label with the same `group_id` are one object. Source: the
documents that labelme (github.com/wkentaro/labelme) writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raytl.data.annotations.annotated import AnnotatedImage, AnnotatedObject
from raytl.data.annotations.dataset_files import DatasetFiles, split_of
from raytl.data.annotations.findings import Findings
from raytl.data.targets import MAX_SIDE

_CIRCLE_POINTS = 64
_BROKEN = "documents that are not LabelMe's (expected an object with shapes)"
_BROKEN_SHAPE = "broken shapes (expected label, shape_type and points)"
_OTHER_SHAPE = "shapes without area (expected rectangle, polygon or circle)"
_NO_IMAGE = "documents of images that do not exist"

_Points = list[tuple[float, float]]


def is_document(value: Any) -> bool:
    """Return whether a JSON value is a LabelMe document."""
    return isinstance(value, dict) and isinstance(value.get("shapes"), list)


def read(files: DatasetFiles, keys: Sequence[str], findings: Findings) -> list[AnnotatedImage]:
    """Return the images of the documents `keys`, with their objects."""
    images = []
    for key in keys:
        document = files.json(key)
        if not is_document(document):
            findings.problem(_BROKEN, key)
            continue
        named = document.get("imagePath")
        image = (files.image_named(named, key) if isinstance(named, str) else None) or files.image_of_stem(key)
        if image is None:
            findings.problem(_NO_IMAGE, f"{key}: {str(named)[:200]!r}")
            continue
        objects = _objects(document["shapes"], key, findings)
        images.append(AnnotatedImage(image, files.path(image), key, objects, split_of(image), _size(document)))
    return images


def _size(document: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = document.get("imageWidth"), document.get("imageHeight")
    if isinstance(width, int) and isinstance(height, int) and 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE:
        return width, height
    return None


def _objects(shapes: Sequence[Any], key: str, findings: Findings) -> list[AnnotatedObject]:
    objects: list[AnnotatedObject] = []
    groups: dict[tuple[str, object], int] = {}
    for index, shape in enumerate(shapes):
        each = _object(shape, f"{key}: shapes[{index}]", findings)
        if each is None:
            continue
        group = shape.get("group_id")
        place = groups.setdefault((each.label, group), len(objects)) if isinstance(group, int | str) else len(objects)
        if place < len(objects) and (joined := _joined(objects[place], each)):
            objects[place] = joined
        else:
            objects.append(each)
    return objects


def _joined(one: AnnotatedObject, other: AnnotatedObject) -> AnnotatedObject | None:
    """Return two outlines as one object; None if one of them is a box."""
    if isinstance(one.outline, tuple) and isinstance(other.outline, tuple):
        return AnnotatedObject(one.label, one.place, outline=(*one.outline, *other.outline))
    return None


def _object(shape: Any, place: str, findings: Findings) -> AnnotatedObject | None:
    label = shape.get("label") if isinstance(shape, dict) else None
    points = _points(shape.get("points")) if isinstance(shape, dict) else None
    if not isinstance(label, str) or not 0 < len(label.strip()) <= 4096 or points is None:
        findings.problem(_BROKEN_SHAPE, place)
        return None
    label = label.strip()
    match shape.get("shape_type", "polygon"), len(points):
        case "rectangle", 2 | 4:
            xs, ys = zip(*points, strict=True)
            return AnnotatedObject(label, place, (min(xs), min(ys), max(xs), max(ys)))
        case "polygon", count if count >= 3:
            return AnnotatedObject(label, place, outline=(_flat(points),))
        case "circle", 2:
            return AnnotatedObject(label, place, outline=(_flat(_circle(*points)),))
    findings.bad(_OTHER_SHAPE, f"{place}: {str(shape.get('shape_type'))[:60]} of {len(points)} points")
    return None


def _circle(center: tuple[float, float], edge: tuple[float, float]) -> _Points:
    radius = math.dist(center, edge)
    angles = [2 * math.pi * step / _CIRCLE_POINTS for step in range(_CIRCLE_POINTS)]
    return [(center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)) for angle in angles]


def _flat(points: _Points) -> tuple[float, ...]:
    return tuple(value for point in points for value in point)


def _points(raw: Any) -> _Points | None:
    if not isinstance(raw, list) or not all(isinstance(point, list) and len(point) == 2 for point in raw):
        return None
    if not all(type(value) in (int, float) and abs(value) < 1e12 for point in raw for value in point):
        return None
    return [(float(x), float(y)) for x, y in raw]
