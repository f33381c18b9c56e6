"""Explain photos batch by batch: answer, attribute each statement, draw, and write the pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.data.bit_depth import Levels, mismatches
from raytl.evaluation.evaluate import photo_opener
from raytl.evaluation.explanation.heat import evidence_for, on_canvas, summary
from raytl.evaluation.explanation.page import title_of
from raytl.evaluation.explanation.picture import MAX_PX, MIN_PX, Caption, overlay, sheet
from raytl.evaluation.explanation.record import Explanation
from raytl.evaluation.explanation.selection import Item
from raytl.evaluation.photos import PhotoBatch, batches
from raytl.evaluation.predictor import Predictor, network_of
from raytl.events import Message, OnEvent, Work, throttled
from raytl.models.attribution.choice import Attribution
from raytl.models.forward import is_channels_last, to_input
from raytl.tasks.drawing import fitted
from raytl.tasks.explaining import Explaining, Statement
from raytl.tasks.inference import Network
from raytl.tasks.reporting import OpenPhoto, Unreadable

PICTURES = "pictures"
_BATCH = {"cpu": 16, "cuda": 64}
_PICTURE = re.compile(rf"{PICTURES}/\d{{5,}}-\d+-[A-Za-z0-9._-]*\.png")


@dataclass(frozen=True)
class Drawing:
    """The settings of an explanation; `label` is the only class to explain, None for those of the answers."""

    predictor: Predictor
    explaining: Explaining
    attribution: Attribution
    label: str | None
    batch_size: int | None
    on_event: OnEvent


@dataclass(frozen=True, slots=True)
class _Stated:
    """A statement of the answer for the item at `position`, whose photo has this `size`; `number` counts the statements of an item."""

    position: int
    number: int
    size: tuple[int, int]
    predicted: tuple[str, ...]
    statement: Statement


_Mapped = tuple[_Stated, NDArray[np.float32]]


def drawn(items: Sequence[Item], folder: Path, drawing: Drawing) -> tuple[list[Explanation], list[Unreadable]]:
    """Write a picture for each statement below `folder`; return the explanations, and the unreadable photos with the reasons."""
    predictor = drawing.predictor
    (folder / PICTURES).mkdir()
    unreadable: list[Unreadable] = []
    deep: dict[str, Levels] = {}
    rows: list[Explanation] = []
    report = throttled(drawing.on_event, first_s=0)
    with network_of(predictor) as network:
        read = batches(
            [item.path for item in items],
            network.preprocess,
            drawing.batch_size or _BATCH[network.device.type],
            predictor.max_pixels,
            on_bad=lambda position, reason: unreadable.append(Unreadable(items[position].path, reason)),
            on_done=lambda done: None,
            on_deep=lambda position, levels: deep.update({repr(items[position].path): levels}),
            s3=predictor._s3,
        )
        open_photo = photo_opener(predictor.max_pixels, network.preprocess.bit_depth, predictor._s3)
        draw = partial(_drawn, items, folder, drawing, network, open_photo)
        with closing(read), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            seen = done = 0
            for batch in read:
                rows += pool.map(draw, _mapped(batch, items, network, drawing))
                seen += len(batch.ids)
                done = seen + len(unreadable)
                report(Work("explaining", done, len(items)))
    if done < len(items):  # unreadable photos after the last batch
        report(Work("explaining", len(items), len(items)))
    for line in mismatches(network.preprocess.bit_depth, deep):
        drawing.on_event(Message(line, "warning"))
    return rows, unreadable


def _mapped(batch: PhotoBatch, items: Sequence[Item], network: Network, drawing: Drawing) -> Iterator[_Mapped]:
    """Yield the statements of the answers for a batch, each with its map `(rows, columns)` over the view."""
    answers = network.answers(batch.images, batch.sizes)
    rows, stated = _stated(batch, answers, items, drawing)
    inputs = to_input(batch.images, network.preprocess, network.device, is_channels_last(network.module))
    for start in range(0, len(rows), len(answers)):
        some = slice(start, start + len(answers))
        places = torch.tensor([each.statement.place for each in stated[some]], device=network.device)
        maps = drawing.attribution.maps(inputs[rows[some]], places, drawing.explaining.scores)
        yield from zip(stated[some], maps.float().cpu().numpy(), strict=True)


def _stated(
    batch: PhotoBatch, answers: Sequence[Any], items: Sequence[Item], drawing: Drawing
) -> tuple[list[int], list[_Stated]]:
    """Return all statements of the answers for a batch, and the row of each in the batch."""
    classes, explaining = drawing.predictor.classes, drawing.explaining
    rows: list[int] = []
    stated: list[_Stated] = []
    for row, (position, size, answer) in enumerate(zip(batch.ids.tolist(), batch.sizes, answers, strict=True)):
        item, predicted = items[position], explaining.predicted(answer, classes)
        statements = _statements(item, explaining.statements(answer, classes, item.target, drawing.label))
        stated += [_Stated(position, number, size, predicted, statement) for number, statement in enumerate(statements)]
        rows += [row] * len(statements)
    return rows, stated


def _statements(item: Item, statements: Sequence[Statement]) -> Sequence[Statement]:
    """Return the wrong statements of a mistake, and all statements of another photo."""
    wrong = [statement for statement in statements if statement.correct is False]
    return wrong if item.is_mistake and wrong else statements


def _drawn(
    items: Sequence[Item], folder: Path, drawing: Drawing, network: Network, open_photo: OpenPhoto, mapped: _Mapped
) -> Explanation:
    """Write the picture of one statement, and return its explanation."""
    part, values = mapped[0], evidence_for(mapped[1])
    item, statement = items[part.position], part.statement
    true = drawing.explaining.true(item.target)
    explanation = Explanation(
        path=item.path,
        label=statement.name,
        confidence=statement.confidence,
        predicted=part.predicted,
        true=true,
        correct=statement.correct,
        method=drawing.attribution.name,
        picture=f"{PICTURES}/{_name(part, item.path)}",
        **asdict(summary(values, part.size, network.preprocess)),
    )
    photo = open_photo(item.path)
    if photo is None:  # removed since it was read
        return explanation
    canvas = fitted(photo, MAX_PX, MIN_PX)
    heat, seen = on_canvas(values, photo.size, canvas.size, network.preprocess)
    by_class = drawing.attribution.by_class
    low = 0.0 if by_class else float(values.min())
    picture = sheet(
        canvas, overlay(canvas, heat, seen, low), _caption(explanation, by_class, drawing.explaining.measure)
    )
    picture.save(folder / explanation.picture)
    return explanation


def _caption(explanation: Explanation, by_class: bool, measure: str) -> Caption:
    predicted = ", ".join(explanation.predicted) or "nothing"
    title = f"{explanation.label} {100 * explanation.confidence:.1f} %{f' {measure}' if measure else ''}"
    title = f"predicted {title}" if explanation.predicted == (explanation.label,) else f"{title}, predicted {predicted}"
    title += "" if explanation.true is None else f", true {', '.join(explanation.true) or 'nothing'}"
    subject = f" for {explanation.label}" if by_class else ", the same for every class"
    note = (
        f"{title_of(explanation.method)}{subject}" if explanation.peak > 0 else f"no evidence for {explanation.label}"
    )
    return Caption(title, explanation.correct is False, note, "0" if by_class else "min", explanation.path)


def _name(part: _Stated, path: str) -> str:
    """Return a file name that no other statement has, and that any file system takes."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(path).stem)[:80]
    return f"{part.position + 1:05d}-{part.number + 1}-{stem}.png"


def is_picture(name: str) -> bool:
    """Return whether `name`, relative to the folder of explanations, is one that `drawn` gives to a picture."""
    return _PICTURE.fullmatch(name) is not None
