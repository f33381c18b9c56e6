"""`predict`: the answers for any photos as one value that can be written; photos that cannot be read are listed beside it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from raytl.config.machine import Machine
from raytl.config.predict import PredictOptions
from raytl.data.manifest import listed
from raytl.errors import DataError, UserError
from raytl.evaluation.inputs import photos
from raytl.evaluation.predictor import answers_of, load, reporting_of
from raytl.evaluation.settings import in_force
from raytl.events import OnEvent, ignore
from raytl.store.s3_settings import S3Settings
from raytl.tasks.reporting import Reading, TaskPredictions, Unreadable


def predict(
    run: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    format: str | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
    require: str | None = None,
    recall: Sequence[str] = (),
    uncertainty: bool = False,
    **options: Unpack[PredictOptions],
) -> TaskPredictions:
    """Return the answers for the photos in `inputs`, and write them to `out` in `format` (by default that of its ending).

    `inputs` are folders, manifests, files, or `s3://` URIs of those. `run` is a run (its best checkpoint is used), a saved
    model, or a version (`models:...`). Photos that cannot be read are in `unreadable` of the result, and files in folders
    that are not photos in `left_out`; neither are in its rows. Buckets, the device and limits of memory are those of
    `machine`, never those of the run. `require`, `recall`, `uncertainty` and `options` are as in
    `raytl.evaluation.predictor.load`.

    Raises:
        RunError, ModelError: there is no model in `run`.
        DataError: an input does not exist or holds no photos, or no photo could be read.
        UserError: the task has no such format or ending, or `out` is one of the inputs.
    """
    sources = [os.fspath(each) for each in ([inputs] if isinstance(inputs, str | os.PathLike) else inputs)]
    _check_out(out, sources)
    machine = in_force(machine, device)
    predictor = load(
        run, machine=machine, on_event=on_event, require=require, recall=recall, uncertainty=uncertainty, **options
    )
    if out is not None:
        reporting_of(predictor).check_output(out, format)
    skipped: dict[str, dict[str, None]] = defaultdict(dict)
    paths = photos(sources, lambda path, reason: skipped[reason].update({path: None}), S3Settings.of(machine.storage))
    answers = answers_of(predictor, paths, batch_size)
    unreadable = tuple(Unreadable(paths[position], reason) for position, reason in answers.unreadable)
    if not answers.positions:
        reasons = listed([f"{each.path!r}: {each.reason}" for each in unreadable])
        raise DataError(f"none of {len(paths)} photos could be read:\n{reasons}")
    left_out = {reason: tuple(files) for reason, files in skipped.items()}
    read = tuple(paths[position] for position in answers.positions)
    reading = Reading(read, answers.sizes, unreadable, predictor.weights, left_out, answers.judgements)
    table = reporting_of(predictor).table(answers.answers, predictor.classes, reading)
    if out is not None:
        table.write(out, format)
    return table


def _check_out(out: str | os.PathLike[str] | None, inputs: Sequence[str]) -> None:
    if out is not None:
        target = Path(out).absolute()
        if any(Path(each).absolute() == target for each in inputs):
            raise UserError(f"{out}: it is an input too, and would be overwritten; name another file")
