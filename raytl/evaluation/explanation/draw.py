"""Explain photos batch by batch: answer, attribute each claim, draw, and write the pictures."""

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
from raytl.evaluation.explanation.page import thumbnail, title_of
from raytl.evaluation.explanation.picture import MAX_PX, MIN_PX, Caption, overlay, sheet
from raytl.evaluation.explanation.record import Explanation
from raytl.evaluation.explanation.selection import Item
from raytl.evaluation.photos import PhotoBatch, batches
from raytl.evaluation.predictor import Predictor, network_of
from raytl.events import Message, OnEvent, Work, throttled
from raytl.models.attribution.choice import Attribution
from raytl.models.forward import is_channels_last, to_input
from raytl.pages import Html
from raytl.tasks.drawing import fitted
from raytl.tasks.explaining import Claim, Explaining
from raytl.tasks.inference import Network
from raytl.tasks.reporting import OpenPhoto, Unreadable

PICTURES = "pictures"
_BATCH = {"cpu": 16, "cuda": 64}
Row = tuple[Explanation, Html]
"""An explanation, and its picture for the page."""


@dataclass(frozen=True)
class Drawing:
    """How photos are explained; `label` is the only class to explain, None for those of the answers."""

    predictor: Predictor
    explaining: Explaining
    attribution: Attribution
    label: str | None
    batch_size: int | None
    on_event: OnEvent


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A claim of the answer for the item at `position`, whose photo has this `size`; `number` counts the claims of an item."""

    position: int
    number: int
    size: tuple[int, int]
    predicted: tuple[str, ...]
    claim: Claim


_Mapped = tuple[_Claimed, NDArray[np.float32]]


def drawn(items: Sequence[Item], folder: Path, drawing: Drawing) -> tuple[list[Row], list[Unreadable]]:
    """Write a picture for each claim below `folder`; return the explanations, and the unreadable photos with the reasons."""
    predictor = drawing.predictor
    (folder / PICTURES).mkdir()
    unreadable: list[Unreadable] = []
    deep: dict[str, Levels] = {}
    rows: list[Row] = []
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
        opener = photo_opener(predictor.max_pixels, network.preprocess.bit_depth, predictor._s3)
        draw = partial(_drawn, items, folder, drawing, network, opener)
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
    """Yield the claims of the answers for a batch, each with its map `(rows, columns)` over the view."""
    answers = network.answers(batch.images, batch.sizes)
    rows, claimed = _claimed(batch, answers, items, drawing)
    inputs = to_input(batch.images, network.preprocess, network.device, is_channels_last(network.module))
    for start in range(0, len(rows), len(answers)):
        some = slice(start, start + len(answers))
        places = torch.tensor([each.claim.place for each in claimed[some]], device=network.device)
        maps = drawing.attribution.maps(inputs[rows[some]], places, drawing.explaining.scores)
        yield from zip(claimed[some], maps.float().cpu().numpy(), strict=True)


def _claimed(
    batch: PhotoBatch, answers: Sequence[Any], items: Sequence[Item], drawing: Drawing
) -> tuple[list[int], list[_Claimed]]:
    """Return all claims of the answers for a batch, and the row of each in the batch."""
    classes, explaining = drawing.predictor.classes, drawing.explaining
    rows: list[int] = []
    claimed: list[_Claimed] = []
    for row, (position, size, answer) in enumerate(zip(batch.ids.tolist(), batch.sizes, answers, strict=True)):
        item, predicted = items[position], explaining.predicted(answer, classes)
        claims = _claims(item, explaining.claims(answer, classes, item.target, drawing.label))
        claimed += [_Claimed(position, number, size, predicted, claim) for number, claim in enumerate(claims)]
        rows += [row] * len(claims)
    return rows, claimed


def _claims(item: Item, claims: Sequence[Claim]) -> Sequence[Claim]:
    """Return the wrong claims of a mistake, and all claims of another photo."""
    wrong = [claim for claim in claims if claim.right is False]
    return wrong if item.is_mistake and wrong else claims


def _drawn(
    items: Sequence[Item], folder: Path, drawing: Drawing, network: Network, opener: OpenPhoto, mapped: _Mapped
) -> Row:
    """Write the picture of one claim, and return its explanation."""
    part, values = mapped[0], evidence_for(mapped[1])
    item, claim = items[part.position], part.claim
    true = drawing.explaining.true(item.target)
    made = Explanation(
        path=item.path,
        label=claim.name,
        confidence=claim.confidence,
        predicted=part.predicted,
        true=true,
        right=claim.right,
        method=drawing.attribution.name,
        picture=f"{PICTURES}/{_name(part, item.path)}",
        **asdict(summary(values, part.size, network.preprocess)),
    )
    photo = opener(item.path)
    if photo is None:  # removed since it was read
        return made, Html()
    canvas = fitted(photo, MAX_PX, MIN_PX)
    heat, seen = on_canvas(values, photo.size, canvas.size, network.preprocess)
    by_class = drawing.attribution.by_class
    low = 0.0 if by_class else float(values.min())
    picture = sheet(canvas, overlay(canvas, heat, seen, low), _caption(made, by_class))
    picture.save(folder / made.picture)
    return made, thumbnail(picture)


def _caption(made: Explanation, by_class: bool) -> Caption:
    predicted = ", ".join(made.predicted) or "nothing"
    title = f"{made.label} {100 * made.confidence:.1f} %"
    title = f"predicted {title}" if made.predicted == (made.label,) else f"{title}, predicted {predicted}"
    title += "" if made.true is None else f", true {', '.join(made.true) or 'nothing'}"
    subject = f" for {made.label}" if by_class else ", the same for every class"
    note = f"{title_of(made.method)}{subject}" if made.peak > 0 else f"no evidence for {made.label}"
    return Caption(title, made.right is False, note, "0" if by_class else "min", made.path)


def _name(part: _Claimed, path: str) -> str:
    """Return a file name that no other claim has, and that any file system takes."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(path).stem)[:80]
    return f"{part.position + 1:05d}-{part.number + 1}-{stem}.png"
