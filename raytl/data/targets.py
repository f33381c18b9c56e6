"""The target of an image: what its annotation says, in the pixels of the upright original image.

A class name (`str`) is the target of single-label classification, None that of an unlabeled image. The others:

- `Labels`: the classes or attributes present in an image (multi-label).
- `Mask`: a file with the class of each pixel (semantic segmentation).
- `Boxes`: the objects of an image as boxes (detection).
- `Instances`: the objects of an image as masks (instance segmentation); their boxes and classes serve the other tasks.

Coordinates: x to the right, y down, the upper left corner of the upper left pixel is (0, 0); `x_max` and `y_max` are the far edges, so a box
that covers one pixel is one wide. They are rounded to 1/100 pixel, so that the same annotation in
two formats is the same target.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from raytl.data.unicode_names import nfc
from raytl.stored.bounds import Bound, FilePath, Name, at_most, within

MAX_SIDE = 1_000_000
MAX_OBJECTS = 100_000
_Coordinate = Annotated[float, within(-MAX_SIDE, MAX_SIDE, "pixels")]
_Side = Annotated[int, within(1, MAX_SIDE, "pixels")]
_Names = Annotated[tuple[Name, ...], at_most(MAX_OBJECTS, "names")]


@dataclass(frozen=True, slots=True)
class Labels:
    """The names that are present in an image; `unknown` ones were not annotated, and are neither learned nor scored."""

    present: _Names
    unknown: _Names = ()


@dataclass(frozen=True, slots=True)
class MaskClass:
    """The class of one value of a mask: of a palette or gray image the byte, of an RGB image `r << 16 | g << 8 | b`.

    An empty name is void: pixels that are neither learned nor scored.
    """

    value: Annotated[int, within(0, (1 << 24) - 1)]
    name: Name


@dataclass(frozen=True, slots=True)
class Mask:
    """An image file `path` (on this node, or an s3:// URI) with a class for each pixel; it covers the photo's whole area.

    `key` is its path under the dataset's root, `digest` the SHA-256 of its bytes (empty before the audit). Its size may
    differ from the photo's.
    """

    key: Name
    path: FilePath
    classes: Annotated[tuple[MaskClass, ...], at_most(1 << 16, "classes")]
    digest: Annotated[str, at_most(64)] = ""
    orientation: Annotated[int, within(1, 8)] = 1
    """The EXIF orientation that turns its pixels upright, if it was drawn on a photo before rotation."""
    present: _Names = ()
    """The classes that occur in it; empty before the audit."""
    width: Annotated[int, within(0, MAX_SIDE, "pixels")] = 0
    height: Annotated[int, within(0, MAX_SIDE, "pixels")] = 0
    """Its size upright; 0 before the audit."""


@dataclass(frozen=True, slots=True)
class Box:
    """One object: its class and the corners of its box. `crowd` marks a group, or an object too difficult to score: it is
    not learned, and neither a hit nor a miss."""

    label: Name
    x_min: _Coordinate
    y_min: _Coordinate
    x_max: _Coordinate
    y_max: _Coordinate
    crowd: bool = False

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """The corners x_min, y_min, x_max and y_max."""
        return self.x_min, self.y_min, self.x_max, self.y_max


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of an image of `width` x `height` pixels; none is an image without objects."""

    width: _Side
    height: _Side
    boxes: Annotated[tuple[Box, ...], at_most(MAX_OBJECTS, "boxes")]


@dataclass(frozen=True, slots=True)
class Instance:
    """One object: its class and its mask as the `counts` of COCO's compressed run-length encoding; `crowd` as in `Box`."""

    label: Name
    counts: Annotated[str, Bound("run lengths in ASCII", str.isascii)]
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Instances:
    """The masks of an image of `width` x `height` pixels; none is an image without objects."""

    width: _Side
    height: _Side
    instances: Annotated[tuple[Instance, ...], at_most(MAX_OBJECTS, "instances")]


Target = str | Labels | Mask | Boxes | Instances | None


def names_in(target: Target) -> tuple[str, ...]:
    """Return the names of the classes in a target, each once, sorted; of a mask before the audit those it may have."""
    match target:
        case None:
            return ()
        case str():
            return (target,)
        case Labels():
            names = target.present
        case Mask():
            names = target.present or tuple(each.name for each in target.classes if each.name)
        case Boxes():
            names = tuple(box.label for box in target.boxes)
        case Instances():
            names = tuple(each.label for each in target.instances)
    return tuple(sorted(set(names)))


def target_record(target: Target) -> Any:
    """Return the target as JSON-compatible values: text, null, or an object whose `kind` is the name of its type."""
    if target is None or isinstance(target, str):
        return target
    return {"kind": type(target).__name__.lower(), **asdict(target)}


def nfc_target(target: Target) -> Target:
    """Return the target with its names normalized to NFC; the same object if they are."""
    match target:
        case None:
            return None
        case str():
            return target if target.isascii() else nfc(target)
        case Labels():
            named: Target = Labels(tuple(map(nfc, target.present)), tuple(map(nfc, target.unknown)))
        case Mask():
            classes = tuple(MaskClass(each.value, nfc(each.name)) for each in target.classes)
            named = replace(target, classes=classes, present=tuple(map(nfc, target.present)))
        case Boxes():
            named = replace(target, boxes=tuple(replace(box, label=nfc(box.label)) for box in target.boxes))
        case Instances():
            named = replace(target, instances=tuple(replace(each, label=nfc(each.label)) for each in target.instances))
    return target if named == target else named
