"""Read COCO JSON: one document of images, annotations and categories for each split.

Source: cocodataset.org/#format-data. Coordinates start at 0; `bbox` is x, y, width, height; a `segmentation` is a list of
polygons, or run lengths as numbers or as compressed text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from raytl.data.annotations import rle
from raytl.data.annotations.annotated import AnnotatedImage, AnnotatedObject, Corners, Outline, Runs
from raytl.data.annotations.dataset_files import DatasetFiles, split_of
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.origin import Origin, looks_one_based
from raytl.data.formats.split_folders import read_name
from raytl.data.targets import MAX_SIDE

_OTHER_KINDS = ("captions", "person_keypoints", "image_info", "stuff", "panoptic")
_BROKEN_IMAGE = "broken image entries (expected id, file_name, width and height)"
_BROKEN = "broken annotations (expected image_id, category_id, and bbox or segmentation)"
_NO_IMAGE = "images that do not exist"
_UNKNOWN_IMAGE = "annotations of an image id that the file does not list"
_UNKNOWN_CLASS = "annotations of a category id that the file does not list"
_CATEGORY = "broken categories (expected id and name)"
_TWICE = "ids that are used twice"
_RUNS = "masks whose run lengths are broken"


def documents(files: DatasetFiles) -> dict[str, Mapping[str, Any]]:
    """Return the COCO documents among the JSON files, by key; files for other tasks of COCO count only if there are no others.

    Raises:
        DataError: a file is not JSON.
    """
    results: dict[str, Mapping[str, Any]] = {}
    beside = {str(PurePosixPath(key).with_suffix("")) for key in files.images}
    for key in files.ending(".json"):
        if key.removesuffix(".json") not in beside and is_document(value := files.json(key)):
            results[key] = value
    own = {key: value for key, value in results.items() if not PurePosixPath(key).name.startswith(_OTHER_KINDS)}
    return own or results


def is_document(value: Any) -> bool:
    """Return whether a JSON value is a COCO document."""
    return isinstance(value, dict) and all(isinstance(value.get(key), list) for key in ("images", "annotations"))


def read(
    files: DatasetFiles, by_file: Mapping[str, Mapping[str, Any]], origin: Origin, findings: Findings
) -> list[AnnotatedImage]:
    """Return the images of all documents, with their objects."""
    images: list[AnnotatedImage] = []
    for key, document in by_file.items():
        images += _Document(files, key, document, 1 if origin == 1 else 0, findings).images()
    corners = [(each.box, image.size) for image in images for each in image.objects if each.box and image.size]
    if origin == "auto" and looks_one_based(corners):
        findings.warnings.append(
            f"{files.uri}: boxes begin at 1 and never at 0, as in Pascal VOC; COCO counts from 0, and so they were read. "
            "If they were copied from 1-based corners, set annotations.box_origin: 1"
        )
    return images


@dataclass
class _Document:
    files: DatasetFiles
    key: str
    document: Mapping[str, Any]
    origin: int
    findings: Findings

    def images(self) -> list[AnnotatedImage]:
        """Return the images in their order, with their objects."""
        entries = self._by_id("images", _BROKEN_IMAGE, _is_image)
        objects = self._objects(entries, self._names())
        split = read_name(PurePosixPath(self.key).stem).split or split_of(self.key)
        images = []
        for number, entry in entries.items():
            place = f"{self.key}: image id {number}"
            name = entry["file_name"]
            image = self.files.image_named(name, self.key, split)
            if image is None:
                self.findings.problem(_NO_IMAGE, f"{place}: {name[:200]!r}")
                continue
            size = (entry["width"], entry["height"]) if "width" in entry else None
            images.append(AnnotatedImage(image, self.files.path(image), place, objects[number], split, size))
        return images

    def _names(self) -> dict[int, str]:
        listed = self._by_id("categories", _CATEGORY, lambda entry: _is_text(entry.get("name")))
        return {number: str(entry["name"]).strip() for number, entry in listed.items()}

    def _by_id(self, name: str, fault: str, holds: Callable[[Mapping[str, Any]], bool]) -> dict[int, Mapping[str, Any]]:
        entries: dict[int, Mapping[str, Any]] = {}
        listed = self.document.get(name)
        for index, entry in enumerate(listed if isinstance(listed, list) else ()):
            place = f"{self.key}: {name}[{index}]"
            if not (isinstance(entry, dict) and _is_whole(entry.get("id")) and holds(entry)):
                self.findings.problem(fault, place)
            elif entry["id"] in entries:
                self.findings.problem(_TWICE, f"{place}: id {entry['id']}")
            else:
                entries[entry["id"]] = entry
        return entries

    def _objects(
        self, entries: Mapping[int, Mapping[str, Any]], names: Mapping[int, str]
    ) -> Mapping[int, Sequence[AnnotatedObject]]:
        objects: dict[int, list[AnnotatedObject]] = defaultdict(list)
        seen = Counter[int]()
        for index, raw in enumerate(self.document["annotations"]):
            place = f"{self.key}: annotations[{index}]"
            if not isinstance(raw, dict) or not (_is_whole(raw.get("image_id")) and _is_whole(raw.get("category_id"))):
                self.findings.problem(_BROKEN, place)
                continue
            if _is_whole(raw.get("id")):
                place = f"{self.key}: annotation id {raw['id']}"
                seen[raw["id"]] += 1
                if seen[raw["id"]] == 2:
                    self.findings.problem(_TWICE, place)
            if raw["image_id"] not in entries:
                self.findings.problem(_UNKNOWN_IMAGE, f"{place}: {raw['image_id']}")
            elif raw["category_id"] not in names:
                self.findings.problem(_UNKNOWN_CLASS, f"{place}: {raw['category_id']}")
            elif each := self._object(raw, names[raw["category_id"]], place, entries[raw["image_id"]]):
                objects[raw["image_id"]].append(each)
        return objects

    def _object(
        self, raw: Mapping[str, Any], label: str, place: str, image: Mapping[str, Any]
    ) -> AnnotatedObject | None:
        box = self._corners(raw.get("bbox"))
        try:
            outline = _outline(raw.get("segmentation"), image)
        except ValueError as fault:
            self.findings.problem(_RUNS, f"{place}: {fault}")
            return None
        if box is None and outline is None:
            self.findings.problem(_BROKEN, place)
            return None
        return AnnotatedObject(label, place, box, outline, raw.get("iscrowd") in (1, True))

    def _corners(self, bbox: Any) -> Corners | None:
        """Return the corners of a box. With origin 1 the far corner is the last pixel, from 1, and so its far edge from 0."""
        if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(_is_number, bbox))):
            return None
        x, y, width, height = map(float, bbox)
        shift = self.origin if width > 0 and height > 0 else 0
        return x - shift, y - shift, x + width, y + height


def _outline(raw: Any, image: Mapping[str, Any]) -> Outline | None:
    """Return the outline of a segmentation; None if there is none.

    Raises:
        ValueError: its run lengths are broken.
    """
    if isinstance(raw, list):
        polygons = [each for each in raw if isinstance(each, list) and each]
        if not polygons:
            return None
        if any(len(each) % 2 or not all(map(_is_number, each)) for each in polygons):
            raise ValueError("a polygon is not a list of x, y, x, y, ...")
        return tuple(tuple(map(float, each)) for each in polygons)
    return _runs(raw, image) if isinstance(raw, dict) else None


def _runs(raw: Mapping[str, Any], image: Mapping[str, Any]) -> Runs:
    counts, size = raw.get("counts"), raw.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(map(_is_side, size))):
        raise ValueError("its size is not [height, width]")
    height, width = size
    if (width, height) != (image.get("width", width), image.get("height", height)):
        raise ValueError(f"it covers {width} x {height} pixels, its image has {image['width']} x {image['height']}")
    if isinstance(counts, str):
        return Runs(rle.from_text(counts, width, height), width, height)
    if isinstance(counts, list) and all(map(_is_whole, counts)):
        return Runs(rle.from_runs(counts, width, height), width, height)
    raise ValueError("its counts are neither text nor whole numbers")


def _is_image(entry: Mapping[str, Any]) -> bool:
    size = [entry[key] for key in ("width", "height") if key in entry]
    return _is_text(entry.get("file_name")) and len(size) in (0, 2) and all(map(_is_side, size))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value.strip()) > 0 and len(value) <= 4096 and "\0" not in value


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_side(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_SIDE


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e12
