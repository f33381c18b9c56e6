"""Write scenes as the data sets that people have: one function for each annotation format, the same truth in all.

Coordinates are those of `raytl.data.targets` (far edges exclusive), except Pascal VOC's, which are 1-based and inclusive.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from experiments.scenes.draw import SHAPES, Bits, Scene, Shape


@dataclass(frozen=True)
class Placed:
    """A scene in a split, with the path of its image below the data set's root."""

    split: str
    path: str
    scene: Scene

    @property
    def name(self) -> str:
        """The name of the image without folders."""
        return self.path.rpartition("/")[2]


def place(splits: Mapping[str, Iterable[Scene]], folder: str = "images/{split}", suffix: str = ".jpg") -> list[Placed]:
    """Return the scenes with the paths of their images: in `folder`, by split if it says so."""
    return [
        Placed(split, f"{folder.format(split=split)}/{scene.name}{suffix}", scene)
        for split, scenes in splits.items()
        for scene in scenes
    ]


def labels_csv(splits: Mapping[str, Iterable[Scene]], root: Path, unknown: float = 0.0, seed: int = 0) -> None:
    """Write `labels.csv`: path, split and a column for each class with 1, 0, or nothing for a fraction that is `unknown`."""
    placed, rng = place(splits), np.random.default_rng(seed)
    rows = []
    for each in placed:
        hidden = rng.random(len(SHAPES)) < unknown
        present = ["" if gone else int(name in each.scene.labels) for name, gone in zip(SHAPES, hidden, strict=True)]
        rows.append([each.path, each.split, *present])
    _finish(root, placed, {"labels.csv": _csv(["path", "split", *SHAPES], rows)})


def labels_list(splits: Mapping[str, Iterable[Scene]], root: Path) -> None:
    """Write `labels.csv`: path, split and labels, the classes that are present as `a|b|c`."""
    placed = place(splits)
    rows = [[each.path, each.split, "|".join(each.scene.labels)] for each in placed]
    _finish(root, placed, {"labels.csv": _csv(["path", "split", "labels"], rows)})


def boxes_csv(splits: Mapping[str, Iterable[Scene]], root: Path) -> None:
    """Write `boxes.csv`: a row for each box, and one with empty cells for an image without objects."""
    placed = place(splits)
    rows = [
        [each.path, *values, each.split]
        for each in placed
        for values in [[*shape.corners, shape.label] for shape in each.scene.shapes] or [[""] * 5]
    ]
    _finish(root, placed, {"boxes.csv": _csv(["path", "xmin", "ymin", "xmax", "ymax", "label", "split"], rows)})


def coco(splits: Mapping[str, Iterable[Scene]], root: Path, segmentation: str = "none") -> None:
    """Write `annotations/instances_<split>.json`, with a `segmentation` of none, polygon or rle; category IDs have gaps."""
    placed, texts = place(splits, "{split}"), {}
    for split in splits:
        document = _coco([each for each in placed if each.split == split], segmentation)
        texts[f"annotations/instances_{split}.json"] = json.dumps(document)
    _finish(root, placed, texts)


def voc(splits: Mapping[str, Iterable[Scene]], root: Path) -> None:
    """Write Pascal VOC: JPEGImages, Annotations and ImageSets/Main, with 1-based inclusive corners."""
    placed = place(splits, "JPEGImages")
    texts = {f"Annotations/{each.scene.name}.xml": _voc(each) for each in placed}
    for split in splits:
        names = [each.scene.name for each in placed if each.split == split]
        texts[f"ImageSets/Main/{split}.txt"] = "".join(f"{name}\n" for name in names)
    _finish(root, placed, texts)


def yolo(splits: Mapping[str, Iterable[Scene]], root: Path, polygons: bool = False) -> None:
    """Write YOLO: images/, labels/ and data.yaml; an image without objects has no label file."""
    placed = place(splits)
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(SHAPES))
    texts = {"data.yaml": "".join(f"{split}: images/{split}\n" for split in splits) + f"names:\n{names}"}
    for each in placed:
        if each.scene.shapes:
            texts[f"labels/{each.split}/{each.scene.name}.txt"] = _yolo(each.scene, polygons)
    _finish(root, placed, texts)


def masks(splits: Mapping[str, Iterable[Scene]], root: Path, palette: bool = True) -> None:
    """Write images/, masks/ (PNG, palette or gray; 0 is the background, then the classes) and `classes.csv`."""
    placed = place(splits)
    rows = [[0, "background"], *([number, name] for number, name in enumerate(SHAPES, start=1))]
    _finish(root, placed, {"classes.csv": _csv(["value", "name"], rows)})
    for each in placed:
        _mask(each.scene, palette).save(_parent(root / "masks" / each.split / f"{each.scene.name}.png"))


def labelme(splits: Mapping[str, Iterable[Scene]], root: Path) -> None:
    """Write LabelMe: beside each image a JSON file with polygons; folders are the splits."""
    placed = place(splits, "{split}")
    _finish(root, placed, {f"{each.split}/{each.scene.name}.json": _labelme(each) for each in placed})


FORMATS: Mapping[str, Callable[[Mapping[str, Iterable[Scene]], Path], None]] = {
    "labels": labels_csv,
    "labels-list": labels_list,
    "boxes": boxes_csv,
    "coco": lambda splits, root: coco(splits, root, "rle"),
    "voc": voc,
    "yolo": yolo,
    "masks": masks,
    "labelme": labelme,
}
"""The formats, by name on the command line."""


def _finish(root: Path, placed: Sequence[Placed], texts: Mapping[str, str]) -> None:
    for each in placed:
        each.scene.image.save(_parent(root / each.path), quality=92)
    for name, text in texts.items():
        _parent(root / name).write_text(text, encoding="utf-8")


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _coco(placed: Sequence[Placed], segmentation: str) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": each.path, "width": each.scene.image.width, "height": each.scene.image.height}
        for number, each in enumerate(placed, start=1)
    ]
    ids = {name: 2 * number + 1 for number, name in enumerate(SHAPES)}
    annotations: list[dict[str, Any]] = []
    for number, each in enumerate(placed, start=1):
        for shape in each.scene.shapes:
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": ids[shape.label]})
            annotations[-1] |= _coco_object(shape, segmentation)
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }


def _coco_object(shape: Shape, segmentation: str) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = shape.corners
    box = {"bbox": [x_min, y_min, x_max - x_min, y_max - y_min], "area": int(shape.mask.sum()), "iscrowd": 0}
    if segmentation == "polygon":
        return {**box, "segmentation": [[value for point in shape.outline for value in point]]}
    if segmentation == "rle":
        return {**box, "segmentation": {"size": list(shape.mask.shape), "counts": run_lengths(shape.mask)}}
    return box


def run_lengths(mask: Bits) -> list[int]:
    """Return COCO's uncompressed run lengths: by columns, of unset and set pixels in turn, unset first."""
    runs = [(value, sum(1 for _ in group)) for value, group in groupby(mask.ravel(order="F").tolist())]
    lengths = [length for _, length in runs]
    return [0, *lengths] if runs[0][0] else lengths


def _voc(each: Placed) -> str:
    objects = "".join(_voc_object(shape) for shape in each.scene.shapes)
    width, height = each.scene.image.size
    return (
        f"<annotation>\n  <filename>{escape(each.name)}</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n{objects}</annotation>\n"
    )


def _voc_object(shape: Shape) -> str:
    x_min, y_min, x_max, y_max = shape.corners
    corners = {"xmin": x_min + 1, "ymin": y_min + 1, "xmax": x_max, "ymax": y_max}
    box = "".join(f"<{name}>{value}</{name}>" for name, value in corners.items())
    return f"  <object><name>{escape(shape.label)}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>\n"


def _yolo(scene: Scene, polygons: bool) -> str:
    width, height = scene.image.size
    lines = []
    for shape in scene.shapes:
        x_min, y_min, x_max, y_max = shape.corners
        center = [((x_min + x_max) / 2, (y_min + y_max) / 2), (x_max - x_min, y_max - y_min)]
        values = [value for x, y in (shape.outline if polygons else center) for value in (x / width, y / height)]
        lines.append(" ".join([str(SHAPES.index(shape.label)), *(f"{value:.8f}" for value in values)]))
    return "".join(f"{line}\n" for line in lines)


def _mask(scene: Scene, palette: bool) -> Image.Image:
    values = np.zeros((scene.image.height, scene.image.width), dtype=np.uint8)
    for shape in scene.shapes:
        values[shape.mask] = SHAPES.index(shape.label) + 1
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette([(37 * number * step) % 256 for number in range(256) for step in (1, 3, 5)])
    return picture


def _labelme(each: Placed) -> str:
    shapes: list[dict[str, Any]] = [
        {"label": shape.label, "points": shape.outline, "group_id": None, "shape_type": "polygon", "flags": {}}
        for shape in each.scene.shapes
    ]
    width, height = each.scene.image.size
    document: dict[str, Any] = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": each.name,
        "imageData": None,
    }
    return json.dumps({**document, "imageHeight": height, "imageWidth": width})
