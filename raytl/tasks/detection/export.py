"""Write detections as COCO JSON, YOLO text files, a table with a row for each box, or pictures.

Every file can be read again as the annotations of a data set: model answers are a first draft of labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from raytl.data.annotations import rle
from raytl.run.atomic import atomic_dir, write_json
from raytl.run.plain import encode
from raytl.tasks.answers import Answers, OpenPhoto, OutputFormat
from raytl.tasks.detection.answer import Detections
from raytl.tasks.drawing import draw_boxes, with_names
from raytl.tasks.output_names import output_names, relative_paths
from raytl.tasks.predictions import PredictionKind
from raytl.tasks.table import write_table

D = TypeVar("D", bound=Detections)
NUMBERS = MappingProxyType(dict.fromkeys(("xmin", "ymin", "xmax", "ymax", "score"), "double"))
"""The types of the columns of numbers, also where no photo has an object."""


def rows_of(answers: Answers[D]) -> Iterator[tuple[str, D, int]]:
    """Yield path, answer and place for each object, the highest score of each photo first; place -1 for a photo without."""
    for path, answer in zip(answers.paths, answers.answers, strict=True):
        order = np.argsort(-answer.scores, kind="stable").tolist()
        yield from ((path, answer, place) for place in order or [-1])


def coco(answers: Answers[D]) -> dict[str, Any]:
    """Return the detections as a COCO document: images, categories, and annotations with a `score`.

    Image and category ids count from 1 in the order of photos and classes. `file_name` is the path below the folder that all
    photos share. The list `annotations` is what COCO's tools call a results file.
    """
    ids = count(1)
    annotations: list[dict[str, Any]] = []
    for image_id, (size, answer) in enumerate(zip(answers.sizes, answers.answers, strict=True), start=1):
        order = np.argsort(-answer.scores, kind="stable").tolist()
        annotations += ({"id": next(ids), "image_id": image_id, **_object(answer, i, size)} for i in order)
    photos = zip(relative_paths(answers.paths), answers.paths, answers.sizes, strict=True)
    return {
        "info": {"description": "Predictions of raytl"},
        "images": [
            {"id": i, "file_name": name, "path": path, "width": width, "height": height}
            for i, (name, path, (width, height)) in enumerate(photos, start=1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(answers.classes, start=1)],
        "annotations": annotations,
    }


def _object(answer: Detections, place: int, size: tuple[int, int]) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = rounded(clipped(answer.boxes[place], size))
    width, height = round(x_max - x_min, 2), round(y_max - y_min, 2)
    value = {
        "category_id": int(answer.labels[place]) + 1,
        "bbox": [x_min, y_min, width, height],
        "area": round(width * height, 2),
        "iscrowd": 0,
        "score": score_of(answer, place),
    }
    counts = getattr(answer, "counts", None)
    if counts is not None:
        value["segmentation"] = {"size": [size[1], size[0]], "counts": counts[place]}
        value["area"] = rle.area(counts[place])
    return value


def columns(answers: Answers[D]) -> dict[str, list[Any]]:
    """Return a row for each box: path, corners in pixels, label and score; a photo without objects has a row of empty cells."""
    sizes = dict(zip(answers.paths, answers.sizes, strict=True))
    table: dict[str, list[Any]] = {name: [] for name in ("path", "xmin", "ymin", "xmax", "ymax", "label", "score")}
    for path, answer, place in rows_of(answers):
        cells: list[Any] = [None] * 6
        if place >= 0:
            corners = rounded(clipped(answer.boxes[place], sizes[path]))
            cells = [*corners, answers.classes[answer.labels[place]], score_of(answer, place)]
        for column, cell in zip(table.values(), (path, *cells), strict=True):
            column.append(cell)
    return table


def write_coco(answers: Answers[D], out: Path, photo: OpenPhoto) -> None:
    """Write the COCO document to the file `out`."""
    write_json(out, coco(answers))


def write_columns(answers: Answers[D], out: Path, photo: OpenPhoto) -> None:
    """Write the table to the file `out`."""
    write_table(columns(answers), out, NUMBERS)


def write_yolo(answers: Answers[D], out: Path, photo: OpenPhoto) -> None:
    """Write `labels/<photo>.txt` with a line for each box, and the class names as `data.yaml`, into the new folder `out`.

    A line has the number of the class, and center, width and height as fractions of the image. Labels have no scores.
    """
    names = output_names(answers.paths, ".txt")
    with atomic_dir(out) as folder:
        (folder / "labels").mkdir()
        for name, size, answer in zip(names, answers.sizes, answers.answers, strict=True):
            file = folder / "labels" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{line}\n" for line in yolo_lines(answer, size)), encoding="ascii")
        listed = (f"  {i}: {encode(each).decode()}\n" for i, each in enumerate(answers.classes))  # JSON is YAML
        (folder / "data.yaml").write_text("names:\n" + "".join(listed), encoding="utf-8")


def yolo_lines(answer: Detections, size: tuple[int, int]) -> list[str]:
    """Return the lines of one image, the highest score first."""
    lines = []
    for place in np.argsort(-answer.scores, kind="stable").tolist():
        x_min, y_min, x_max, y_max = clipped(answer.boxes[place], size) / np.array(size * 2)
        numbers = ((x_min + x_max) / 2, (y_min + y_max) / 2, x_max - x_min, y_max - y_min)
        lines.append(" ".join([str(int(answer.labels[place])), *(f"{each:.6f}" for each in numbers)]))
    return lines


def write_overlays(answers: Answers[D], out: Path, photo: OpenPhoto) -> None:
    """Write `<photo>.png` with the boxes over the photo into the new folder `out`; photos that cannot be read are left out."""
    names = output_names(answers.paths, ".png")
    with atomic_dir(out) as folder:
        for name, path, answer in zip(names, answers.paths, answers.answers, strict=True):
            image = photo(path)
            if image is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                drawn = draw_boxes(image, answer.boxes, answer.labels, answer.scores, answers.classes)
                with_names(drawn, answer.labels, answers.classes).save(folder / name)


def clipped(box: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the corners `(4,)` of a box within an image of this (width, height)."""
    return np.clip(box.astype(np.float64), 0.0, np.array(size * 2, dtype=np.float64))


def rounded(box: NDArray[np.float64]) -> list[float]:
    """Return the corners to 1/100 pixel."""
    return [round(each, 2) for each in box.tolist()]


def score_of(answer: Detections, place: int) -> float:
    """Return the score to six digits."""
    return round(float(answer.scores[place]), 6)


def labels(answers: Answers[D]) -> Iterator[str]:
    """Yield the class of each object."""
    return (answers.classes[label] for answer in answers.answers for label in answer.labels.tolist())


def preview(answers: Answers[D]) -> Iterator[tuple[str, ...]]:
    """Yield photo, class and score of each object, a dash for a photo without."""
    for path, answer, place in rows_of(answers):
        scored = f"{100 * score_of(answer, place):.1f} %" if place >= 0 else "–"
        yield path, answers.classes[answer.labels[place]] if place >= 0 else "–", scored


HEADER = ("photo", "object", "score")
FORMATS: tuple[OutputFormat[Detections], ...] = (
    OutputFormat("coco", ".json", write_coco),
    OutputFormat("csv", ".csv", write_columns),
    OutputFormat("parquet", ".parquet", write_columns),
    OutputFormat("yolo", "", write_yolo),
    OutputFormat("overlays", "", write_overlays),
)
"""The formats of detections; a folder without a named format is YOLO's."""
PREDICTIONS = PredictionKind(FORMATS, columns, labels, "objects", HEADER, preview)
