"""`evaluate`: score a split of a run once, with intervals; the report is written into the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.cluster.worker_group import run_group
from raytl.config.machine import Machine
from raytl.config.schema import ColumnRole, Recipe
from raytl.config.stored import stored_experiment
from raytl.data.annotations import image_size
from raytl.data.bit_depth import BitDepth
from raytl.data.decode import BadImage, decode
from raytl.data.group_split import group_columns, sampling_groups
from raytl.data.image_properties import with_sizes
from raytl.data.manifest import SPLITS, Sample, dataset_digest
from raytl.errors import ConfigError, RunError, StoreError, UserError
from raytl.evaluation.evidence import MAX_FEATURE_IMAGES, Answers, write_evidence
from raytl.evaluation.record import recorded, verified
from raytl.evaluation.settings import in_force, tell_ignored
from raytl.evaluation.worker import Shard, evaluated_split, score_shard
from raytl.events import Message, OnEvent, ignore
from raytl.metrics.intervals import RESAMPLES
from raytl.models.saved_model import Card, digest, read_card
from raytl.run import RunFolder, journal
from raytl.run.atomic import replace_dir, write_bytes, write_json, write_text
from raytl.run.ledger import REPORT, LedgerEntry, exclusive_test_access, looks, unlock
from raytl.run.run_store import RunStore
from raytl.store.drafts import drafted, sweep
from raytl.store.s3_settings import S3Settings
from raytl.tasks.findings import finding_kind
from raytl.tasks.inference import WATCHED
from raytl.tasks.registry import task_named
from raytl.tasks.reporting import Evaluated, Occasion, OpenPhoto, Reporting, Subject, TaskReport
from raytl.tasks.task import Rows
from raytl.uris import in_bucket
from raytl.world import World

OUTCOMES = "outcomes.jsonl"
"""The file with the outcome of each image, for paired tests between runs."""


def evaluate(
    run: str | Path,
    *,
    split: str = "test",
    again: bool = False,
    workers: int = 1,
    device: str | None = None,
    resamples: int = RESAMPLES,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
) -> TaskReport:
    """Score a run's best checkpoint on `split` and write `evaluation/<split>/` (`<split>-2/` for the second look).

    A look at the test split is recorded in the run's ledger before the split is read. Without `again`, the report of the
    last look is returned and no image is read. A look that died before its report is completed under its own number.
    Clusters, buckets, the device and limits are those of `machine`, never those of the run.

    Raises:
        ConfigError: the run's experiment cannot be read, or a setting of `machine` cannot take effect.
        RunError: no such run, not finished (for test), changed files, an empty split, or another process, here or on
            another machine, is evaluating the test split.
        DataError: images of the split changed or are missing.
        TestLockedError: the test split was evaluated with other weights, and `again` is false.
    """
    _check_options(split, again, workers)
    machine = in_force(machine, device, workers)
    s3 = S3Settings.of(machine.storage)
    run_store = RunStore.open(str(run), s3)
    folder = run_store.folder
    check_run(folder, split, on_event)
    stored_run = stored_experiment(folder.experiment)
    tell_ignored(stored_run, machine, workers, on_event)
    recipe = stored_run.recipe
    card = verified_card(folder, on_event)
    if split == "test" and not again and _is_stored(run_store) and (reported := _reported(folder, card, on_event)):
        return reported  # to show it takes no right to write
    with _alone(run_store, on_event) if split == "test" else nullcontext():
        if split == "test" and not again and (reported := _reported(folder, card, on_event)):
            run_store.push()  # in case the process that wrote the report died before it was stored
            return reported
        data = recipe.data
        samples = verified(recorded(folder, split), data.uri, on_event, data.zip_encoding, s3, data.feedback)
        entry = _unlocked(folder, card.digest, again, on_event) if split == "test" else None
        run_store.push()
        shard = split_shard(run_store, recipe, machine, card, samples)
        rows = _scored(shard, machine, workers, folder.root / ".ray", on_event)
        answers = replace(_evaluated(shard, rows), groups=_groups(samples, data.columns, on_event))
        reporting = task_named(card.task).reporting
        report = reporting.report(_occasion(run_store, split, card, samples, entry, resamples, answers.groups), answers)
        photo = photo_opener(machine.max_pixels, card.preprocess.bit_depth, s3)
        _write(reporting, report, answers, photo, split_answers(card, shard, rows), card)
        run_store.push()
    return report


@contextmanager
def _alone(run_store: RunStore, on_event: OnEvent) -> Iterator[None]:
    """Keep other processes from the test split, here and, if the run is in a bucket, on other machines."""
    with exclusive_test_access(run_store.folder), run_store.locked_test_split(on_event):
        yield


def _is_stored(run_store: RunStore) -> bool:
    """Return whether the report of the last look at the test split is stored where the run is kept."""
    last = next(iter(reversed(looks(run_store.folder))), None)
    return last is not None and run_store.has_stored(last.report_folder(run_store.folder) / REPORT)


def _reported(folder: RunFolder, card: Card, on_event: OnEvent) -> TaskReport | None:
    """Return the report of the last look at the test split; None without one, or if the look used other weights."""
    last = next(iter(reversed(looks(folder))), None)
    if last is None or last.weights != card.digest or not last.is_reported(folder):
        return None
    on_event(
        Message(
            f"the test split was already evaluated on {last.when} by {last.who}; showing the stored report "
            f"(--again, in Python again=True, evaluates the test split once more and marks the report 'evaluation {last.look + 1}')"
        )
    )
    return task_named(card.task).reporting.stored(last.report_folder(folder))


def _unlocked(folder: RunFolder, weights: str, again: bool, on_event: OnEvent) -> LedgerEntry:
    """Return the look to take, and report if a process that died began it."""
    earlier = looks(folder)
    entry = unlock(folder, weights, again)
    if entry in earlier:
        on_event(
            Message(
                f"completing evaluation {entry.look} of the test split, which {entry.who} began on {entry.when} and did not finish"
            )
        )
    return entry


def split_shard(run_store: RunStore, recipe: Recipe, machine: Machine, card: Card, samples: Sequence[Sample]) -> Shard:
    """Return the work of scoring `samples` of a run with its best checkpoint."""
    data = recipe.data
    return Shard(
        model_folder=str(run_store.folder.best.absolute()),
        samples=samples,
        classes=card.classes,
        device=machine.compute.device,
        precision=recipe.train.precision,
        max_pixels=machine.max_pixels,
        digest=card.digest,
        run=run_store.uri,
        data=data.uri,
        s3=S3Settings.of(machine.storage),
        zip_encoding=data.zip_encoding,
        features=bool(task_named(card.task).sections) and len(samples) <= MAX_FEATURE_IMAGES,
        detailed=bool(task_named(card.task).sections),
    )


def _evaluated(shard: Shard, rows: Rows) -> Evaluated:
    return evaluated_split(shard, rows[:-WATCHED] if shard.features else rows)


def split_answers(card: Card, shard: Shard, rows: Rows) -> Answers | None:
    """Return what `raytl report` needs of the scored `rows` of a split; None if the model's task has no report."""
    task, samples = task_named(card.task), shard.samples
    if not task.sections:
        return None
    keys, kind = tuple(sample.key for sample in samples), finding_kind(task)
    answers = None if kind is None else _evaluated(shard, rows)
    findings = None if kind is None or answers is None else kind.findings(answers.truths, answers.rows, card.classes)
    logits = rows[0] if kind is None else np.zeros((len(samples), 0), np.float32)
    if len(samples) > MAX_FEATURE_IMAGES:
        return Answers.without_features(keys, logits, findings)
    features, thumbnails, pixels = rows[-WATCHED:]
    headers = image_size.sizes(sample.path for sample in samples if not in_bucket(sample.path))
    sizes = [each.upright if (each := headers.get(sample.path)) else None for sample in samples]
    return Answers(keys, logits, features, thumbnails, with_sizes(pixels, sizes), findings)


def _check_options(split: str, again: bool, workers: int) -> None:
    if split not in SPLITS:
        raise UserError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    if again and split != "test":
        raise UserError(f"again: only looks at the test split are counted, and the split is {split}; remove it")
    if workers < 1:
        raise UserError(f"workers: found {workers}, expected 1 or more")


def check_run(folder: RunFolder, split: str, on_event: OnEvent) -> None:
    """Check that the run is finished and unchanged: training after a look at the test split would be guided by it."""
    if split == "test" or folder.manifest.exists():
        if not folder.manifest.exists():
            raise RunError(
                f"{folder.root}: this run is not finished, so its test split is locked; "
                "run its `raytl train` command again to finish it, or evaluate the val split"
            )
        problems = folder.verify(on_event)
        if problems:
            raise RunError(f"{folder.root}: the run changed since it finished:\n" + "\n".join(problems[:10]))


def verified_card(folder: RunFolder, on_event: OnEvent) -> Card:
    """Return the best checkpoint's card, its digest checked against the tensors."""
    card = read_card(folder.best, on_event)
    if digest(folder.best) != card.digest:
        raise RunError(f"{folder.best}: the weights do not match the digest in model.json; restore the checkpoint")
    return card


def _scored(shard: Shard, machine: Machine, workers: int, scratch: Path, on_event: OnEvent) -> Rows:
    if workers == 1:
        return score_shard(World.solo(), shard, on_event)
    if machine.compute.cluster == "none":
        raise ConfigError(f"workers: {workers} need Ray, and compute.cluster is none; use 1 worker")
    compute = machine.compute.model_copy(update={"workers": workers})
    return run_group(score_shard, shard, compute, scratch=scratch, on_event=on_event)


def _occasion(
    run_store: RunStore,
    split: str,
    card: Card,
    samples: Sequence[Sample],
    entry: LedgerEntry | None,
    resamples: int,
    groups: NDArray[np.int64] | None,
) -> Occasion:
    folder = run_store.folder
    skipped, fraction = len(journal.read(folder.skipped)), card.fine_tuned_fraction
    drawn = 0 if groups is None else len(np.unique(groups))
    return Occasion(
        subject=Subject(
            run_store.name, card.model, split, card.digest, dataset_digest(samples), skipped, fraction, drawn
        ),
        look=None if entry is None else entry.look,
        looks=tuple(looks(folder)),
        resamples=resamples,
        folder=str(folder.evaluation / split if entry is None else entry.report_folder(folder)),
    )


def _groups(
    samples: Sequence[Sample], columns: Mapping[str, ColumnRole], on_event: OnEvent
) -> NDArray[np.int64] | None:
    """Return the group of each image, `(n,)`; None if images are drawn, with a warning if all are of one group."""
    groups, names = sampling_groups(samples, columns), ", ".join(group_columns(columns))
    if groups is None and names:
        on_event(
            Message(
                f"all images are of one group ({names}), so the intervals draw images and are too narrow", "warning"
            )
        )
    return groups


def photo_opener(max_pixels: int, depth: BitDepth, s3: S3Settings) -> OpenPhoto:
    """Return a function that opens photos for pictures; a photo that was removed since it was scored is None."""

    def photo(path: str) -> Image.Image | None:
        try:
            return decode(path, max_pixels, depth, s3)
        except (BadImage, StoreError):
            return None

    return photo


def _write(
    reporting: Reporting,
    report: TaskReport,
    answers: Evaluated,
    photo: OpenPhoto,
    evidence: Answers | None,
    card: Card,
) -> None:
    """Write the report's folder, completely or not at all."""
    final = Path(report.folder)
    sweep(final.parent)
    with drafted(final, folder=True) as draft:
        reporting.draw(report, draft, answers, photo)
        write_text(draft / "report.md", report.to_markdown())
        write_bytes(draft / OUTCOMES, reporting.outcomes(answers))
        if evidence is not None:
            write_evidence(draft, evidence, report.subject.split, card)
        write_json(draft / REPORT, report.to_json())
        replace_dir(draft, final)
