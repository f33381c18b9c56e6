"""`predict`: what a trained model says about any photos, those that it cannot read listed beside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from raytl.config.machine import Machine
from raytl.config.stored import stored_experiment
from raytl.data.bit_depth import Levels, mismatches
from raytl.data.manifest import listed
from raytl.errors import DataError, RunError, UserError
from raytl.evaluation.inputs import photos
from raytl.evaluation.photos import batches
from raytl.evaluation.settings import in_force, tell_ignored
from raytl.evaluation.table import Predictions, Unreadable, check_ending
from raytl.events import Message, OnEvent, Work, ignore, throttled
from raytl.metrics.scores import softmax
from raytl.models.bundle import bundle_directory, load_bundle
from raytl.models.forward import pick_device, pick_precision
from raytl.models.parallel import ordered_logits
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings

_BATCH = {"cpu": 16, "cuda": 64}


def predict(
    run: str | Path,
    inputs: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
) -> Predictions:
    """Classes and probabilities of the photos in `inputs` (folders, manifests, files, or s3:// URIs of such); written to
    `out` if named.

    `run` is a run's folder (its best checkpoint is used), a saved model's, or a version (`models:...`). Photos that cannot be read are in
    `unreadable` of the result, files in folders that are not photos in `left_out`; neither are in its rows. Buckets, the
    device and limits are those of `machine`, never those of the run.

    Raises:
        RunError, ModelError: there is no model in `run`.
        DataError: an input does not exist or holds no photos, or not one photo could be read.
        UserError: `out` ends neither in .csv nor in .parquet, or is one of the inputs.
    """
    several = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    _check_out(out, several)
    machine = in_force(machine, device)
    s3 = S3Settings.of(machine.storage)
    bundle, precision = _bundle(run, machine, on_event)
    skipped: dict[str, dict[str, None]] = defaultdict(dict)
    paths = photos(several, lambda path, reason: skipped[reason].update({path: None}), s3)
    module, card = load_bundle(bundle, on_event)
    at = pick_device(machine.compute.device)
    unreadable: list[Unreadable] = []
    deep: dict[str, Levels] = {}
    read = batches(
        paths,
        card.preprocess,
        batch_size or _BATCH[at.type],
        machine.max_pixels,
        on_bad=lambda path, reason: unreadable.append(Unreadable(path, reason)),
        on_done=_progress(len(paths), on_event),
        on_deep=deep.__setitem__,
        s3=s3,
    )
    with closing(read):
        ids, logits = ordered_logits(module.to(at), read, card.preprocess, at, pick_precision(precision, at))
    for line in mismatches(card.preprocess.bit_depth, deep):
        on_event(Message(line, "warning"))
    if not len(ids):
        reasons = listed([f"{each.path!r}: {each.reason}" for each in unreadable])
        raise DataError(f"none of {len(paths)} photos could be read:\n{reasons}")
    left_out = {reason: tuple(files) for reason, files in skipped.items()}
    kept = tuple(paths[place] for place in ids)
    found = Predictions(kept, card.classes, np.asarray(softmax(logits)), tuple(unreadable), card.digest, left_out)
    if out is not None:
        found.write(out)
    return found


def _check_out(out: str | Path | None, inputs: Sequence[str | Path]) -> None:
    if out is not None:
        target = check_ending(out).absolute()
        if any(Path(each).absolute() == target for each in inputs):
            raise UserError(f"{out}: it is an input too, and would be overwritten; name another file")


def _bundle(run: str | Path, machine: Machine, on_event: OnEvent) -> tuple[Path, str]:
    """The saved model's folder, and the precision that the run trained with."""
    found = bundle_directory(run)
    if found == Path(run):
        return found, "auto"
    folder = RunStore.open(str(run), S3Settings.of(machine.storage)).folder
    found = bundle_directory(folder.root)
    if found is None:
        raise RunError(f"{run}: this run has no checkpoint yet; its `raytl train` command writes one after an epoch")
    stored = stored_experiment(folder.experiment)
    tell_ignored(stored, machine, 1, on_event)
    return folder.best, stored.recipe.train.precision


def _progress(total: int, on_event: OnEvent) -> Callable[[int], None]:
    report = throttled(on_event, first_s=0)
    return lambda done: report(Work("predicting", done, total))
