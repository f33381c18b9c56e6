"""The files that the training loop writes: metrics, the best model and the last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from raytl.metrics.confusion import cells_of
from raytl.models.saved_model import Card, save_model
from raytl.run import journal
from raytl.run.atomic import atomic_dir, write_json
from raytl.run.folder import RunFolder
from raytl.run.uploader import Uploader
from raytl.tasks.inference import set_buffers
from raytl.tasks.task import Validation
from raytl.training import checkpoint
from raytl.training.loop import RunWriter
from raytl.training.scalars import write_scalars

BEST_SCORE = "validation.json"
FRACTION = "fallback/fine_tuned_fraction"
"""The metric that says how much of the saved network is the fine-tuned one; absent if all of it is."""
ADAPTED, FINITE = "adaptation/applied", "adaptation/finite"
"""The metric that is 1 if the saved network was adapted after training, and 0 if it was better without; absent before that."""


def run_writer(
    folder: RunFolder, network: torch.nn.Module, card: Card, uploader: Uploader | None, *, tensorboard: bool
) -> RunWriter:
    """Return the writer of a run in `folder`, which hands each new checkpoint to `uploader`.

    The best checkpoint holds the whole `network`, even if only its top is trained.
    """

    def upload(path: Path) -> None:
        if uploader is not None:
            uploader.submit(path.relative_to(folder.root).as_posix())

    def record(values: Mapping[str, float | str]) -> None:
        journal.append(folder.metrics, values)
        if tensorboard:
            scores = {name: value for name, value in values.items() if isinstance(value, float)}
            write_scalars(folder.tensorboard, scores, int(values["epoch"]))

    def best(_: torch.nn.Module, result: Validation, epoch: int) -> None:
        _save_best(folder, card, network, result, epoch)
        upload(folder.best)

    def last(state: checkpoint.Checkpoint) -> None:
        checkpoint.save(folder.last, state)
        upload(folder.last)

    return RunWriter(record=record, best=best, last=last)


def _save_best(folder: RunFolder, card: Card, network: torch.nn.Module, result: Validation, epoch: int) -> None:
    set_buffers(network, result.buffers)
    confusion = result.confusion
    score: dict[str, Any] = {"epoch": epoch + 1, "metrics": result.metrics, "confusion": cells_of(confusion.counts)}
    if confusion.names != card.classes:
        score["names"] = list(confusion.names)
    with atomic_dir(folder.best) as temporary:
        save_model(temporary, network, _card_of(card, result))
        write_json(temporary / BEST_SCORE, score)


def _card_of(card: Card, result: Validation) -> Card:
    """Return the card with what validation decided."""
    return replace(
        card,
        temperature=result.temperature,
        fine_tuned_fraction=result.metrics.get(FRACTION),
        predict_score=result.predict_score,
    )
