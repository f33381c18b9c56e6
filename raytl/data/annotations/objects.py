"""Turn annotated objects into targets: turn them upright, clip them to the image, check and round them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from raytl.data.annotations import rle
from raytl.data.annotations.annotated import AnnotatedImage, AnnotatedObject, Corners, Runs
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.image_size import ImageSize, sizes
from raytl.data.exif_orientation import turned, turned_point
from raytl.data.manifest import Sample
from raytl.data.targets import MAX_OBJECTS, Box, Boxes, Instance, Instances

_OUTSIDE = "objects outside their image"
_NO_AREA = "objects without area"
_NOT_FINITE = "objects with coordinates that are not numbers"
_BAD_POLYGON = "polygons that are broken (expected at least 3 points, no farther away than the image is large)"
_REPEATED = "they repeat another object of their image"
_CLIPPED = "they stuck out of their image"
_SIZES = "images whose size differs from the annotated size"
_TOO_MANY = f"images with more than {MAX_OBJECTS:,} objects"
_TOO_LARGE = "images of more pixels than annotations can cover"
_MAX_PIXELS = 1 << 31
_MAX_EDGE = 20_000_000
_TWICE = "images that are annotated twice"


def samples_of(images: Sequence[AnnotatedImage], findings: Findings) -> list[Sample]:
    """Return a sample for each image: with `Instances` if every object has an outline, else with `Boxes`.

    An annotation of the stored size of an image that EXIF rotates is turned with its pixels; of any other size than the
    image's it is a problem.
    """
    outlined = _are_outlined(images, findings)
    measured = sizes(image.path for image in images)
    seen: dict[str, str] = {}
    samples = []
    for image in images:
        if (first := seen.setdefault(image.key, image.place)) is not image.place:
            findings.problem(_TWICE, f"{image.key!r}: {first} and {image.place}")
        elif measured[image.path] is None:  # the audit rejects it
            samples.append(Sample(image.key, image.path, Boxes(1, 1, ()), image.split))
        elif frame := _frame(image, measured[image.path], findings):
            target = _target(image, frame, findings, outlined=outlined)
            samples.append(Sample(image.key, image.path, target, image.split))
    return samples


@dataclass(frozen=True, slots=True)
class _Frame:
    """The upright `width` and `height` of an image; objects annotated on the `stored` one are turned by `orientation`."""

    width: int
    height: int
    stored: tuple[int, int]
    orientation: int

    def corners(self, box: Corners) -> Corners:
        """Return the box in the upright image."""
        if self.orientation == 1:
            return box
        one = turned_point(box[0], box[1], self.stored, self.orientation)
        other = turned_point(box[2], box[3], self.stored, self.orientation)
        return min(one[0], other[0]), min(one[1], other[1]), max(one[0], other[0]), max(one[1], other[1])

    def polygon(self, polygon: Sequence[float]) -> tuple[float, ...]:
        """Return the polygon in the upright image, rounded."""
        if self.orientation == 1:
            return tuple([round(value, 2) for value in polygon])
        points = zip(polygon[::2], polygon[1::2], strict=True)
        moved = (turned_point(x, y, self.stored, self.orientation) for x, y in points)
        return tuple(round(value, 2) + 0.0 for point in moved for value in point)


def _are_outlined(images: Sequence[AnnotatedImage], findings: Findings) -> bool:
    """Return whether the objects are read as masks."""
    counts = Counter(each.outline is not None for image in images for each in image.objects)
    if counts[True] and counts[False]:
        findings.warnings.append(
            f"{counts[False]} of {counts.total()} objects have a box and no outline, so all are read as boxes"
        )
    return bool(counts[True]) and not counts[False]


def _frame(image: AnnotatedImage, measured: ImageSize | None, findings: Findings) -> _Frame | None:
    """Return the frame of the objects; None, with a problem, if the size is wrong."""
    assert measured is not None, "unreadable images are left to the audit"
    width, height = measured.upright
    if width * height > _MAX_PIXELS:
        findings.problem(_TOO_LARGE, f"{image.key!r}: {width} x {height}")
        return None
    if image.size in (None, measured.upright):
        return _Frame(width, height, measured.stored, 1)
    if image.size == measured.stored:
        return _Frame(width, height, measured.stored, measured.orientation)
    assert image.size is not None
    stated = f"{image.size[0]} x {image.size[1]}"
    findings.problem(_SIZES, f"{image.place}: {stated}, but {image.key!r} has {width} x {height} pixels")
    return None


def _target(image: AnnotatedImage, frame: _Frame, findings: Findings, *, outlined: bool) -> Boxes | Instances:
    if len(image.objects) > MAX_OBJECTS:
        findings.problem(_TOO_MANY, f"{image.place}: {len(image.objects):,}")
        return Boxes(frame.width, frame.height, ())
    if outlined:
        masks = [(each, _instance(each, frame, findings)) for each in image.objects]
        return Instances(frame.width, frame.height, _distinct([(o, t) for o, t in masks if t], findings))
    boxes = [(each, _box(each, frame, findings)) for each in image.objects]
    return Boxes(frame.width, frame.height, _distinct([(o, t) for o, t in boxes if t], findings))


_Object = TypeVar("_Object", Box, Instance)


def _distinct(pairs: Sequence[tuple[AnnotatedObject, _Object]], findings: Findings) -> tuple[_Object, ...]:
    """Return the objects in a fixed order, each once."""
    distinct: dict[_Object, None] = {}
    for annotated, each in pairs:
        if each in distinct:
            findings.dropped(_REPEATED, annotated.place)
        distinct[each] = None
    return tuple(sorted(distinct, key=_order))


def _order(each: Box | Instance) -> tuple[object, ...]:
    if isinstance(each, Box):
        return (*each.corners, each.label, each.crowd)
    return each.counts, each.label, each.crowd


def _box(each: AnnotatedObject, frame: _Frame, findings: Findings) -> Box | None:
    box = each.box or _bounds(each)
    if not all(map(math.isfinite, box)):
        findings.bad(_NOT_FINITE, each.place)
        return None
    if box[2] <= box[0] or box[3] <= box[1]:
        findings.bad(_NO_AREA, f"{each.place}: {_quoted(box)}")
        return None
    x_min, y_min, x_max, y_max = box = frame.corners(box)
    low_x, low_y = round(max(x_min, 0.0), 2), round(max(y_min, 0.0), 2)
    high_x, high_y = round(min(x_max, frame.width), 2), round(min(y_max, frame.height), 2)
    if high_x <= low_x or high_y <= low_y:
        is_outside = x_max <= 0 or y_max <= 0 or x_min >= frame.width or y_min >= frame.height
        size = f"in {frame.width} x {frame.height} pixels"
        findings.bad(_OUTSIDE if is_outside else _NO_AREA, f"{each.place}: {_quoted(box)} {size}")
        return None
    if min(x_min, y_min) < -_TOLERANCE or x_max > frame.width + _TOLERANCE or y_max > frame.height + _TOLERANCE:
        findings.clipped(_CLIPPED, f"{each.place}: {_quoted(box)} in {frame.width} x {frame.height} pixels")
    return Box(each.label, low_x, low_y, high_x, high_y, each.crowd)


_TOLERANCE = 0.01
"""Pixels that rounding in the annotation file may move an edge."""


def _bounds(each: AnnotatedObject) -> Corners:
    """Return the box around an outline."""
    if isinstance(each.outline, Runs):
        return rle.box(each.outline.counts, each.outline.width, each.outline.height)
    assert each.outline is not None, "an object has a box or an outline"
    xs = [x for polygon in each.outline for x in polygon[::2]] or [0.0]
    ys = [y for polygon in each.outline for y in polygon[1::2]] or [0.0]
    return min(xs), min(ys), max(xs), max(ys)


def _instance(each: AnnotatedObject, frame: _Frame, findings: Findings) -> Instance | None:
    outline = each.outline
    counts = _turned_runs(outline, frame) if isinstance(outline, Runs) else _filled(each, frame, findings)
    if counts is None:
        return None
    if not rle.area(counts):
        findings.bad(_NO_AREA, each.place)
        return None
    return Instance(each.label, counts, each.crowd)


def _turned_runs(runs: Runs, frame: _Frame) -> str:
    if frame.orientation == 1:
        return runs.counts
    bitmap = rle.bitmap(runs.counts, runs.width, runs.height)
    return rle.from_bitmap(turned(bitmap, frame.orientation))


def _filled(each: AnnotatedObject, frame: _Frame, findings: Findings) -> str | None:
    """Return the run lengths of polygons; None, with a finding, if they cannot be filled."""
    assert isinstance(each.outline, tuple), "run lengths are handled before"
    if not all(all(map(math.isfinite, polygon)) for polygon in each.outline):
        findings.bad(_NOT_FINITE, each.place)
        return None
    width, height = frame.width, frame.height
    polygons = [frame.polygon(polygon) for polygon in each.outline]
    if not all(_is_drawable(polygon, width, height) for polygon in polygons):
        findings.bad(_BAD_POLYGON, each.place)
        return None
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    if min(xs) >= width or min(ys) >= height or max(xs) <= 0 or max(ys) <= 0:
        findings.bad(_OUTSIDE, each.place)
        return None
    if min(*xs, *ys) < -_TOLERANCE or max(xs) > width + _TOLERANCE or max(ys) > height + _TOLERANCE:
        findings.clipped(_CLIPPED, each.place)
    return rle.from_polygons(polygons, width, height)


def _is_drawable(polygon: Sequence[float], width: int, height: int) -> bool:
    """Return whether a polygon has 3 points near the image, and an edge no longer than an outline of its pixels: filling it
    takes memory in proportion."""
    xs, ys = polygon[::2], polygon[1::2]
    if len(xs) < 3 or min(xs) < -width or max(xs) > 2 * width or min(ys) < -height or max(ys) > 2 * height:
        return False
    longest = min(4 * (width + 2) * (height + 2) + 8 * (width + height), _MAX_EDGE)
    if 3 * (width + height) * len(xs) <= longest:
        return True
    points = list(zip(xs, ys, strict=True))
    edges = zip(points, [*points[1:], points[0]], strict=True)
    return sum(math.dist(one, other) for one, other in edges) <= longest


def _quoted(box: Corners) -> str:
    return ", ".join(f"{value:g}" for value in box)
