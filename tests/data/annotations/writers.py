"""One annotated scene, written in each format: four small images, one of them without objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from raytl.data.manifest import Manifest, dataset_digest

WIDTH, HEIGHT = 40, 24
CLASSES = ("cat", "dog")


@dataclass(frozen=True)
class Object:
    """A rectangle of an image: its class and its edges."""

    label: str
    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def polygon(self) -> list[int]:
        """The corners as x, y, x, y, ..."""
        return [self.x_min, self.y_min, self.x_max, self.y_min, self.x_max, self.y_max, self.x_min, self.y_max]


SCENE: dict[str, Sequence[Object]] = {
    "images/train/a.png": [Object("cat", 0, 0, 10, 12), Object("dog", 20, 4, 40, 24)],
    "images/train/b.png": [Object("dog", 5, 5, 9, 10)],
    "images/val/c.png": [Object("cat", 1, 1, 8, 8)],
    "images/val/d.png": [],
}
LISTED = {"train": ["a", "b"], "val": ["c", "d"]}


def image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), seed: int = 0, orientation: int = 1) -> Path:
    """Write an image of noise; its suffix is its format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(path, exif=exif) if orientation > 1 else Image.fromarray(pixels).save(path)
    return path


def images(root: Path) -> None:
    """Write the images of the scene."""
    for seed, key in enumerate(SCENE):
        image(root / key, seed=seed)


def write(path: Path, content: str | bytes | object) -> None:
    """Write text, bytes, or a value as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def coco_document(split: str, segmentation: Callable[[Object], object] | None = None) -> dict[str, object]:
    """The COCO document of a split; ids have gaps, and file names are relative to images/."""
    listed = [(key, objects) for key, objects in SCENE.items() if key.split("/")[1] == split]
    annotations = []
    for index, (_, objects) in enumerate(listed):
        for each in objects:
            box = [each.x_min, each.y_min, each.x_max - each.x_min, each.y_max - each.y_min]
            raw = {"id": 7 * len(annotations) + 3, "image_id": 10 * index + 5, "bbox": box, "iscrowd": 0}
            raw |= {"category_id": 3 + 8 * CLASSES.index(each.label), "area": box[2] * box[3]}
            annotations.append(raw | ({"segmentation": segmentation(each)} if segmentation else {}))
    return {
        "images": [
            {"id": 10 * index + 5, "file_name": key.removeprefix("images/"), "width": WIDTH, "height": HEIGHT}
            for index, (key, _) in enumerate(listed)
        ],
        "annotations": annotations,
        "categories": [{"id": 3 + 8 * index, "name": name} for index, name in enumerate(CLASSES)],
    }


def coco(root: Path, segmentation: Callable[[Object], object] | None = None) -> None:
    """Write the scene as COCO JSON."""
    images(root)
    for split in LISTED:
        write(root / f"annotations/instances_{split}2017.json", coco_document(split, segmentation))


def voc_xml(name: str, objects: Sequence[Object], size: tuple[int, int] = (WIDTH, HEIGHT), origin: int = 1) -> str:
    """The VOC annotation of an image."""
    boxes = "".join(
        f"<object>\n<name>{o.label}</name><difficult>0</difficult><bndbox><xmin>{o.x_min + origin}</xmin>"
        f"<ymin>{o.y_min + origin}</ymin><xmax>{o.x_max}</xmax><ymax>{o.y_max}</ymax></bndbox></object>\n"
        for o in objects
    )
    sizes = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation>\n<filename>{name}.png</filename>{sizes}\n{boxes}</annotation>\n"


def voc(root: Path, origin: int = 1) -> None:
    """Write the scene as Pascal VOC."""
    images(root)
    for key, objects in SCENE.items():
        name = Path(key).stem
        write(root / f"Annotations/{name}.xml", voc_xml(name, objects, origin=origin))
    for split, names in LISTED.items():
        write(root / f"ImageSets/Main/{split}.txt", "\n".join(names))


def yolo(root: Path, *, polygons: bool = False) -> None:
    """Write the scene as YOLO; the image without objects has no text file."""
    images(root)
    for key, objects in SCENE.items():
        lines = []
        for o in objects:
            center = [(o.x_min + o.x_max) / 2 / WIDTH, (o.y_min + o.y_max) / 2 / HEIGHT]
            values = [*center, (o.x_max - o.x_min) / WIDTH, (o.y_max - o.y_min) / HEIGHT]
            if polygons:
                values = [v / (HEIGHT if i % 2 else WIDTH) for i, v in enumerate(o.polygon)]
            lines.append(" ".join([str(CLASSES.index(o.label)), *(f"{value:.6f}" for value in values)]))
        if lines:
            write(root / key.replace("images/", "labels/").replace(".png", ".txt"), "\n".join(lines))
    write(root / "data.yaml", "path: ../elsewhere\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n")


def labelme(root: Path, *, polygons: bool = False) -> None:
    """Write the scene as LabelMe JSON."""
    images(root)
    for key, objects in SCENE.items():
        shapes = []
        for o in objects:
            points = [[o.x_max, o.y_max], [o.x_min, o.y_min]]
            if polygons:
                points = [[o.polygon[i], o.polygon[i + 1]] for i in range(0, 8, 2)]
            kind = "polygon" if polygons else "rectangle"
            shapes.append({"label": o.label, "points": points, "shape_type": kind, "group_id": None})
        document = {"version": "5.4", "shapes": shapes, "imagePath": Path(key).name, "imageData": None}
        write(root / key.replace(".png", ".json"), document | {"imageWidth": WIDTH, "imageHeight": HEIGHT})


def table(root: Path) -> Path:
    """Write the scene as a CSV table of boxes; return its path."""
    images(root)
    rows = ["path,xmin,ymin,xmax,ymax,label,split"]
    for key, objects in SCENE.items():
        split = key.split("/")[1]
        rows += [f"{key},{o.x_min},{o.y_min},{o.x_max},{o.y_max},{o.label},{split}" for o in objects]
        rows += [] if objects else [f"{key},,,,,,{split}"]
    write(root / "boxes.csv", "\n".join(rows))
    return root / "boxes.csv"


def content(manifest: Manifest) -> str:
    """The digest of everything that a manifest says."""
    return dataset_digest(manifest.samples)
