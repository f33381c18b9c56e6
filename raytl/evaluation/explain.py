"""`explain`: a map for each photo of where the evidence for a class lies, as pictures, a page and numbers."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from raytl.config.machine import Machine
from raytl.data.manifest import SPLITS, listed
from raytl.errors import DataError, UserError
from raytl.evaluation.explanation import selection
from raytl.evaluation.explanation.draw import PICTURES, Drawing, drawn, is_picture
from raytl.evaluation.explanation.page import FILE as PAGE
from raytl.evaluation.explanation.page import page
from raytl.evaluation.explanation.record import FILE, Explanation, Explanations
from raytl.evaluation.explanation.selection import Item
from raytl.evaluation.inputs import photos as photos_in
from raytl.evaluation.predictor import Predictor, load, saved_of
from raytl.evaluation.settings import in_force
from raytl.events import OnEvent, ignore
from raytl.home import expanded
from raytl.models.attribution.choice import AUTO, attribution
from raytl.run.atomic import replace_dir, write_json, write_text
from raytl.store.drafts import drafted, sweep
from raytl.store.s3_settings import S3Settings
from raytl.tasks.explaining import Explaining, explained_tasks, explaining_of
from raytl.tasks.reporting import Unreadable
from raytl.uris import has_scheme

OUT = "explanations"
"""The folder that is written if none is named."""
_SILENT = "photos answered as background"
"""The reason to leave out photos whose answer has no class to explain."""


def explain(
    run: str | os.PathLike[str],
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    mistakes: bool = False,
    split: str | None = None,
    method: str = AUTO,
    label: str | None = None,
    out: str | os.PathLike[str] = OUT,
    batch_size: int | None = None,
    device: str | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
) -> Explanations:
    """Return a map for each photo of the evidence for its answer, and write them with their pictures and a page to `out`.

    `photos` are as in `predict`. `mistakes` takes the place of photos: the images of `split` (val by default) that the model
    gets wrong, and five correct ones of each class. Of the test split, the stored outcomes of the last evaluation name them.
    `label` explains one class in all photos instead of the answers. An earlier folder of explanations is replaced.

    Raises:
        RunError, ModelError: there is no model in `run`, or `method` is not valid for it.
        DataError: an input does not exist or holds no photos, no photo could be read, or images of the split changed.
        UserError: options that do not go together, an unknown class, a task without explanations, or a folder of other files.
    """
    sources = [os.fspath(each) for each in ([photos] if isinstance(photos, str | os.PathLike) else photos)]
    _check(sources, mistakes, split, batch_size)
    folder = _folder(out, sources)
    machine = in_force(machine, device)
    predictor = load(run, machine=machine, on_event=on_event)
    explaining = _explaining(predictor, os.fspath(run), mistakes)
    _check_label(label, predictor.classes)
    chosen = attribution(saved_of(predictor).backbone, method, by_class=label is not None)
    skipped: dict[str, dict[str, None]] = defaultdict(dict)
    items = (
        selection.mistakes(os.fspath(run), split or "val", predictor, explaining, machine, on_event)
        if mistakes
        else _named(sources, skipped, S3Settings.of(machine.storage))
    )
    result = Explanations(
        model=predictor.model,
        weights=predictor.weights,
        method=chosen.name,
        why=chosen.why,
        split=(split or "val") if mistakes else None,
        explanations=(),
        left_out={reason: tuple(files) for reason, files in skipped.items()},
    )
    drawing = Drawing(predictor, explaining, chosen, label, batch_size, on_event)
    return _written(folder, result, items, drawing)


def _written(folder: Path, result: Explanations, items: Sequence[Item], drawing: Drawing) -> Explanations:
    """Draw the maps into `folder`, completely or not at all, and return them."""
    sweep(folder.parent, deep=False)
    with drafted(folder, folder=True) as draft:
        rows, unreadable = drawn(items, draft, drawing)
        if items and len(unreadable) == len(items):
            reasons = listed([f"{each.path!r}: {each.reason}" for each in unreadable])
            raise DataError(f"none of {len(items)} photos could be read:\n{reasons}")
        silent = _silent(items, rows, unreadable)
        if items and not rows:
            raise DataError(
                f"{len(silent):,} photos: the model answers nothing but background; expected a class to explain. Name one with "
                "--class (in Python, label=...)"
            )
        rows.sort(key=lambda row: (row.correct is not False, -row.confidence))
        whole = replace(
            result,
            explanations=tuple(rows),
            unreadable=tuple(unreadable),
            left_out={**result.left_out, **({_SILENT: silent} if silent else {})},
        )
        write_text(draft / PAGE, page(whole, draft))
        write_json(draft / FILE, whole.to_json())
        replace_dir(draft, folder)
    return whole


def _silent(items: Sequence[Item], rows: Sequence[Explanation], unreadable: Sequence[Unreadable]) -> tuple[str, ...]:
    """Return the photos whose answer has no class to explain."""
    named = {each.path for each in (*rows, *unreadable)}
    return tuple(item.path for item in items if item.path not in named)


def _check(sources: Sequence[str], is_mistakes: bool, split: str | None, batch_size: int | None) -> None:
    if is_mistakes and sources:
        raise UserError("photos: found photos and mistakes; expected one of them. Remove the photos, or --mistakes")
    if not is_mistakes and not sources:
        raise UserError(
            "photos: found none; expected folders, manifests or photos, or --mistakes (in Python, mistakes=True)"
        )
    if split is not None and not is_mistakes:
        raise UserError(f"split {split!r}: it selects the mistakes to explain; expected --mistakes beside it")
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size: found {batch_size}, expected 1 or more")


def _folder(out: str | os.PathLike[str], sources: Sequence[str]) -> Path:
    """Return the folder to write, links resolved; it must be new, empty, or hold earlier explanations and nothing else, and
    neither be in an input nor hold one."""
    folder = expanded(os.fspath(out)).resolve()
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"{os.fspath(out)}: found a file; expected a folder for the explanations. Name another with --out"
        )
    if folder.is_dir() and (other := _other_files(folder)):
        raise UserError(
            f"{os.fspath(out)}: found other files in this folder:\n{listed(other)}\nexpected a new folder, or one that "
            "`raytl explain` wrote. Name another with --out"
        )
    _check_apart(os.fspath(out), folder, [expanded(source).resolve() for source in sources if not has_scheme(source)])
    return folder


def _other_files(folder: Path) -> list[str]:
    """Return what a folder holds that `explain` does not write; all of it, if there are no explanations."""
    if not (folder / FILE).is_file():
        return sorted(path.name for path in folder.iterdir())
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return [name for name in names if name not in (FILE, PAGE, PICTURES) and not is_picture(name)]


def _check_apart(out: str, folder: Path, inputs: Sequence[Path]) -> None:
    if any(folder.is_relative_to(path) for path in inputs):
        raise UserError(
            f"{out}: it is in an input, whose photos it would join; expected another folder. Name it with --out"
        )
    if any(path.is_relative_to(folder) for path in inputs):
        raise UserError(
            f"{out}: it holds an input, which it would replace; expected another folder. Name it with --out"
        )


def _explaining(predictor: Predictor, run: str, mistakes: bool) -> Explaining:
    task = saved_of(predictor).task
    explaining = explaining_of(task)
    if explaining is None:
        raise UserError(
            f"{run}: the task of this model is {task.name}, whose answers are objects; expected one that scores "
            f"classes ({', '.join(explained_tasks())}). `raytl predict` and `raytl evaluate` draw its answers"
        )
    if mistakes and not explaining.has_mistakes:
        raise UserError(
            f"{run}: --mistakes: the answers of {task.name} are right in some pixels and wrong in others; expected photos. Name some; the "
            "report of `raytl evaluate` shows the worst images"
        )
    return explaining


def _check_label(label: str | None, classes: Sequence[str]) -> None:
    if label is None or label in classes:
        return
    near = difflib.get_close_matches(label, classes, n=3)
    advice = f"did you mean {' or '.join(map(repr, near))}?" if near else f"expected one of:\n{listed(list(classes))}"
    raise UserError(f"class {label!r}: the model has no such class; {advice}")


def _named(sources: Sequence[str], skipped: dict[str, dict[str, None]], s3: S3Settings) -> tuple[Item, ...]:
    paths = photos_in(sources, lambda path, reason: skipped[reason].update({path: None}), s3)
    return tuple(Item(path) for path in paths)
