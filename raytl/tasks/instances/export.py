"""Write instances as COCO JSON with run lengths, PNGs of instance numbers, a table, YOLO boxes, or pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.data.annotations import rle
from raytl.run.atomic import atomic_dir
from raytl.tasks.answers import Answers, OpenPhoto, OutputFormat
from raytl.tasks.detection import export as boxes
from raytl.tasks.drawing import draw_masks, with_names
from raytl.tasks.instances.answer import Segments, bitmaps
from raytl.tasks.output_names import output_names
from raytl.tasks.predictions import PredictionKind
from raytl.tasks.table import as_csv, write_table

_MAX_NUMBER = 65535


def columns(answers: Answers[Segments]) -> dict[str, list[Any]]:
    """Return a row for each object as detection does, and the area of its mask in pixels."""
    areas = [None if place < 0 else rle.area(answer.counts[place]) for _, answer, place in boxes.rows_of(answers)]
    return boxes.columns(answers) | {"area": areas}


def write_columns(answers: Answers[Segments], out: Path, photo: OpenPhoto) -> None:
    """Write the table to the file `out`."""
    write_table(columns(answers), out, boxes.NUMBERS | {"area": "int64"})


def write_masks(answers: Answers[Segments], out: Path, photo: OpenPhoto) -> None:
    """Write `<photo>.png` with the number of the instance at each pixel (16 bits, 0 = none), and `instances.csv` with mask,
    number, label and score, into the new folder `out`. Where instances overlap, the highest score is on top."""
    names = output_names(answers.paths, ".png")
    table: dict[str, list[Any]] = {name: [] for name in ("path", "mask", "number", "label", "score")}
    with atomic_dir(out) as folder:
        for name, path, answer in zip(names, answers.paths, answers.answers, strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(numbered(answer)).save(folder / name)
            for number, place in enumerate(np.argsort(-answer.scores, kind="stable").tolist(), start=1):
                label = answers.classes[answer.labels[place]]
                for column, cell in zip(
                    table.values(), (path, name, number, label, boxes.score_of(answer, place)), strict=True
                ):
                    column.append(cell)
        (folder / "instances.csv").write_bytes(as_csv(table))


def numbered(answer: Segments) -> NDArray[np.uint16]:
    """Return the number of the instance at each pixel, `(height, width)`: 1 is the highest score, 0 none."""
    numbers = np.zeros(answer.size[::-1], dtype=np.uint16)
    order = np.argsort(-answer.scores, kind="stable")[:_MAX_NUMBER][::-1]
    masks = bitmaps([answer.counts[place] for place in order], answer.size)
    for number, mask in zip(range(len(order), 0, -1), masks, strict=True):
        numbers[mask] = number
    return numbers


def write_overlays(answers: Answers[Segments], out: Path, photo: OpenPhoto) -> None:
    """Write `<photo>.png` with the masks over the photo into the new folder `out`; photos that cannot be read are left out."""
    names = output_names(answers.paths, ".png")
    with atomic_dir(out) as folder:
        for name, path, answer in zip(names, answers.paths, answers.answers, strict=True):
            image = photo(path)
            if image is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                masks = bitmaps(answer.counts, answer.size)
                drawn = draw_masks(image, masks, answer.boxes, answer.labels, answer.scores, answers.classes)
                with_names(drawn, answer.labels, answers.classes).save(folder / name)


FORMATS: tuple[OutputFormat[Segments], ...] = (
    OutputFormat("coco", ".json", boxes.write_coco),
    OutputFormat("csv", ".csv", write_columns),
    OutputFormat("parquet", ".parquet", write_columns),
    OutputFormat("masks", "", write_masks),
    OutputFormat("yolo", "", boxes.write_yolo),
    OutputFormat("overlays", "", write_overlays),
)
"""The formats of instances; a folder without a named format holds masks."""
PREDICTIONS = PredictionKind(FORMATS, columns, boxes.labels, "objects", boxes.HEADER, boxes.preview)
