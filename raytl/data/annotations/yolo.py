"""Read YOLO: a text file for each image, with a class number and a box or polygon on each line, in fractions of the image.

`data.yaml` names the classes and the folders (or lists) of the splits; an image without a text file has no object. A box is its
center, width and height. Fractions are of the upright image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from raytl.config.plain_yaml import YamlFault, plain_yaml
from raytl.data.annotations.annotated import AnnotatedImage, AnnotatedObject
from raytl.data.annotations.dataset_files import DatasetFiles, split_of
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.image_size import sizes
from raytl.errors import DataError

_NAME_FILES = ("classes.txt", "obj.names", "class_names.txt", "names.txt")
_LABELS, _IMAGES = "labels", "images"
_SPLITS = ("train", "val", "test")
_BROKEN = "lines that are not a class number and a box (4 fractions) or a polygon (3 points or more)"
_NOT_FRACTIONS = "lines whose values are not fractions of the image (expected 0 to 1)"
_UNKNOWN = "lines with a class number that is not in the list of names"
_NO_IMAGE = "text files of images that do not exist"
_NO_FOLDER = "splits in data.yaml without images"
_MOST_FIELDS = 200_001
_FRACTION = re.compile(rb"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """The class names by number, the file that lists them, and the images of each split if the file says so."""

    place: str
    names: Mapping[int, str]
    splits: Mapping[str, Sequence[str]]


def layout(files: DatasetFiles, findings: Findings) -> Layout | None:
    """Return the names and splits of a YOLO dataset; None if no file there lists names.

    Raises:
        DataError: a file that looks like data.yaml is broken.
    """
    for key in files.ending(".yaml", ".yml"):
        if (value := _document(files, key)) is not None:
            return _of_document(files, key, value, findings)
    for key in files.ending(".txt", ".names"):
        if PurePosixPath(key).name.lower() in _NAME_FILES:
            lines = files.text(key).split("\n")
            names = {number: line.strip() for number, line in enumerate(lines) if line.strip()}
            return Layout(key, names, {})
    return None


def label_files(files: DatasetFiles, layout: Layout | None) -> dict[str, str]:
    """Return the text file of each image that has one, by the image's key."""
    texts = set(files.ending(".txt"))
    matches = {}
    for image in files.images:
        if (key := next((name for name in _label_keys(image) if name in texts), None)) and key != (
            layout and layout.place
        ):
            matches[image] = key
    return matches


def is_tree(labels: Mapping[str, str]) -> bool:
    """Return whether text files are in folders called labels."""
    return any(_LABELS in key.split("/")[:-1] for key in labels.values())


def is_label(content: bytes) -> bool:
    """Return whether a text file begins with numbers, or is empty: other text beside an image is a caption."""
    fields = content[:4096].split(b"\n", 1)[0].split()
    return not fields or (len(fields) >= 5 and all(_FRACTION.fullmatch(field) for field in fields[:5]))


def read(files: DatasetFiles, layout: Layout, labels: Mapping[str, str], findings: Findings) -> list[AnnotatedImage]:
    """Return all images of the splits, or all there are if data.yaml has no splits, with their objects."""
    chosen: dict[str, str | None] = {}
    for name, listed in layout.splits.items():
        chosen |= {image: name for image in listed if image not in chosen}
    if repeated := sum(map(len, layout.splits.values())) - len(chosen):
        findings.warnings.append(
            f"{layout.place}: {repeated} images are in two splits; they count as {next(iter(layout.splits))}"
        )
    if not chosen:
        chosen = {image: split_of(image) for image in files.images}
    measured = sizes(files.path(image) for image in chosen)
    images = []
    for image, split in chosen.items():
        size = measured[files.path(image)]
        width, height = size.upright if size else (1, 1)
        key = labels.get(image)
        objects = list(_objects(files, key, layout, (width, height), findings)) if key else []
        images.append(AnnotatedImage(image, files.path(image), key or image, objects, split))
    _check_strays(files, layout, set(labels.values()), findings)
    return images


def _check_strays(files: DatasetFiles, layout: Layout, used: set[str], findings: Findings) -> None:
    for key in files.ending(".txt"):
        path = PurePosixPath(key)
        if _LABELS in path.parts[:-1] and key not in used and path.name.lower() not in _NAME_FILES:
            findings.problem(_NO_IMAGE, repr(key))


def _document(files: DatasetFiles, key: str) -> Mapping[str, Any] | None:
    """Return the mapping in a YAML file if it lists class names; None for any other file."""
    text = files.text(key)
    if "names" not in text:
        return None
    try:
        value = plain_yaml(text)
    except YamlFault as error:
        raise DataError(f"{files.uri}: {key}:{error.line}: {error}; expected YAML with the names of classes") from error
    return value if isinstance(value, dict) and isinstance(value.get("names"), dict | list) else None


def _of_document(files: DatasetFiles, key: str, value: Mapping[str, Any], findings: Findings) -> Layout:
    raw = value["names"]
    pairs = list(enumerate(raw)) if isinstance(raw, list) else list(raw.items())
    names = {}
    for number, name in pairs:
        if not _is_number(number) or not isinstance(name, str | int | float) or not str(name).strip():
            findings.problem("class names in data.yaml that are not a number and a name", f"{key}: names: {number!r}")
        else:
            names[int(number)] = str(name).strip()
    splits = {}
    for split in _SPLITS:
        given = value.get(split, value.get("valid") if split == "val" else None)
        if given:
            splits[split] = _images_at(files, key, value.get("path"), given)
            if not splits[split]:
                findings.problem(_NO_FOLDER, f"{key}: {split}: {str(given)[:200]}")
    return Layout(key, names, splits)


def _is_number(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10)


def _images_at(files: DatasetFiles, key: str, root: Any, given: Any) -> list[str]:
    """Return the images in the folders, or in the lists of images, that data.yaml names for a split.

    Such paths are often of another machine: the longest end of a path that is a folder here counts.
    """
    places = [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str)]
    matches: dict[str, None] = {}
    for place in places:
        base = root if isinstance(root, str) else ""
        if place.lower().endswith(".txt"):
            matches |= dict.fromkeys(_listed_in(files, key, place))
        else:
            folder = _folder(files, key, f"{base}/{place}")
            matches |= dict.fromkeys(image for image in files.images if folder is not None and image.startswith(folder))
    return list(matches)


def _folder(files: DatasetFiles, key: str, place: str) -> str | None:
    """Return the prefix of the images in the folder that `place` ends with; None if there is none."""
    parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    above = key.split("/")[:-1]
    for start in range(len(parts) + 1):
        for outer in (above, []):
            prefix = "".join(f"{part}/" for part in (*outer, *parts[start:]))
            if parts[start:] and any(image.startswith(prefix) for image in files.images):
                return prefix
    return None


def _listed_in(files: DatasetFiles, key: str, place: str) -> Iterator[str]:
    """Yield the images that a text file lists, one a line."""
    name = place.replace("\\", "/").rpartition("/")[2]
    lists = [each for each in files.ending(".txt") if each.rpartition("/")[2] == name]
    for line in files.text(lists[0]).splitlines() if lists else ():
        if line.strip() and (image := files.image_named(line, key)):
            yield image


def _label_keys(image: str) -> Iterator[str]:
    """Yield the keys at which the text file of an image may be: with `labels` in place of `images`, or beside it."""
    stem = image.rpartition(".")[0]
    parts = stem.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() == _IMAGES:
            yield "/".join([*parts[:place], _LABELS, *parts[place + 1 :]]) + ".txt"
    yield f"{stem}.txt"
    yield f"{_LABELS}/{stem}.txt"


def _objects(
    files: DatasetFiles, key: str, layout: Layout, size: tuple[int, int], findings: Findings
) -> Iterator[AnnotatedObject]:
    for line, text in enumerate(files.text(key).splitlines(), start=1):
        fields = text.split(maxsplit=_MOST_FIELDS)
        if fields and (each := _object(fields, f"{key}:{line}", layout.names, size, findings)):
            yield each


def _object(
    fields: Sequence[str], place: str, names: Mapping[int, str], size: tuple[int, int], findings: Findings
) -> AnnotatedObject | None:
    try:
        number, values = float(fields[0]), [float(each) for each in fields[1:]]
    except ValueError:
        findings.problem(_BROKEN, place)
        return None
    if not number.is_integer() or not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
        findings.problem(_BROKEN, place)
        return None
    if int(number) not in names:
        findings.problem(_UNKNOWN, f"{place}: {int(number)}")
        return None
    if not all(math.isfinite(value) and -1 <= value <= 2 for value in values):
        findings.problem(_NOT_FRACTIONS, place)
        return None
    width, height = size
    label = names[int(number)]
    if len(values) > 4:
        polygon = tuple(value * (height if index % 2 else width) for index, value in enumerate(values))
        return AnnotatedObject(label, place, outline=(polygon,))
    x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
    return AnnotatedObject(label, place, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
