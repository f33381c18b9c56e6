"""Write class maps as palette PNGs with the colors of the classes, as a table of areas, or as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.metrics.segmentation import VOID, ClassMap
from raytl.run.atomic import atomic_dir
from raytl.tasks.answers import Answers, OpenPhoto, OutputFormat
from raytl.tasks.colors import palette
from raytl.tasks.drawing import draw_classes
from raytl.tasks.output_names import output_names
from raytl.tasks.predictions import PredictionKind
from raytl.tasks.table import as_csv, write_table


def mask_image(class_map: ClassMap, classes: int) -> Image.Image:
    """Return a class map `(h, w)` as a palette image: pixel values are places of classes, 255 is void (white)."""
    image = Image.fromarray(class_map).convert("P")
    image.putpalette(palette(classes).tobytes(), "RGB")
    return image


def class_columns(classes: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the meaning of the pixel values: value, name, and the color red, green, blue."""
    values = [*range(len(classes)), VOID]
    colors = palette(len(classes))[values]
    red, green, blue = (colors[:, channel].tolist() for channel in range(3))
    return {"value": values, "name": [*classes, "void"], "red": red, "green": green, "blue": blue}


def columns(answers: Answers[ClassMap]) -> dict[str, list[Any]]:
    """Return a row for each photo: its path, and the fraction of its pixels of each class as `p_<class>`."""
    fractions = [
        np.bincount(each.ravel(), minlength=256)[: len(answers.classes)] / each.size for each in answers.answers
    ]
    table = np.array(fractions).reshape(-1, len(answers.classes))
    return {
        "path": list(answers.paths),
        **{f"p_{name}": table[:, i].tolist() for i, name in enumerate(answers.classes)},
    }


def write_columns(answers: Answers[ClassMap], out: Path, photo: OpenPhoto) -> None:
    """Write the table to the file `out`."""
    write_table(columns(answers), out)


def write_masks(answers: Answers[ClassMap], out: Path, photo: OpenPhoto) -> None:
    """Write `<photo>.png` with the class of each pixel, and `classes.csv` with the meaning of the values, into the new
    folder `out`."""
    names = output_names(answers.paths, ".png")
    with atomic_dir(out) as folder:
        for name, class_map in zip(names, answers.answers, strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            mask_image(class_map, len(answers.classes)).save(folder / name, optimize=False)
        (folder / "classes.csv").write_bytes(as_csv(class_columns(answers.classes)))


def write_overlays(answers: Answers[ClassMap], out: Path, photo: OpenPhoto) -> None:
    """Write `<photo>.png` with the classes over the photo into the new folder `out`; photos that cannot be read are left out."""
    names = output_names(answers.paths, ".png")
    with atomic_dir(out) as folder:
        for name, path, class_map in zip(names, answers.paths, answers.answers, strict=True):
            image = photo(path)
            if image is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                draw_classes(image, class_map, answers.classes).save(folder / name)


def labels(answers: Answers[ClassMap]) -> Iterator[str]:
    """Yield the classes that occur in each photo."""
    names, void = answers.classes, VOID
    return (names[place] for each in answers.answers for place in np.unique(each).tolist() if place != void)


def preview(answers: Answers[ClassMap]) -> Iterator[tuple[str, ...]]:
    """Yield each photo, the class with the largest area, and its part of the pixels."""
    for path, each in zip(answers.paths, answers.answers, strict=True):
        counts = np.bincount(each.ravel(), minlength=256)[: len(answers.classes)]
        largest = int(counts.argmax())
        yield path, answers.classes[largest], f"{100 * counts[largest] / each.size:.1f} %"


FORMATS: tuple[OutputFormat[ClassMap], ...] = (
    OutputFormat("csv", ".csv", write_columns),
    OutputFormat("parquet", ".parquet", write_columns),
    OutputFormat("masks", "", write_masks),
    OutputFormat("overlays", "", write_overlays),
)
"""The formats of class maps; a folder without a named format holds masks."""
PREDICTIONS = PredictionKind(FORMATS, columns, labels, "photos", ("photo", "largest class", "area"), preview)
