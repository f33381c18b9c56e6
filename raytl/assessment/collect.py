"""The evidence of a run: that of test from the one look of `raytl evaluate`; train and validation are scored when a report needs
them, and stored in the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.section import Evidence, SplitEvidence
from raytl.config.machine import Machine
from raytl.config.schema import Recipe
from raytl.data.encoder import FileAccess
from raytl.data.group_split import group_columns, kept_together
from raytl.data.manifest import Sample
from raytl.errors import RunError
from raytl.evaluation.evaluate import split_answers, split_shard
from raytl.evaluation.evidence import EVIDENCE, Answers, read_evidence, write_evidence
from raytl.evaluation.record import recorded, verified
from raytl.evaluation.worker import score_shard
from raytl.events import OnEvent
from raytl.metrics.calibration import expected_temperature
from raytl.models.card import Card
from raytl.run.ledger import LedgerEntry, looks
from raytl.run.run_store import RunStore
from raytl.sanitize import command
from raytl.store.s3_settings import S3Settings
from raytl.tasks.findings import FindingKind, finding_kind
from raytl.tasks.inference import Truths
from raytl.tasks.registry import task_named
from raytl.world import World

MAX_TRAIN_IMAGES = 20_000
"""Training images of a report; of more, a sample that is always the same."""


@dataclass(frozen=True)
class Source:
    """A run to report on: its store, its recipe and card, and the settings of this machine."""

    run_store: RunStore
    recipe: Recipe
    card: Card
    machine: Machine
    on_event: OnEvent


def last_look(source: Source) -> LedgerEntry:
    """Return the look at the test split with the evidence of the run's weights.

    Raises:
        RunError: the test split was not evaluated, or with other weights, or before evidence was stored.
    """
    folder, run = source.run_store.folder, source.run_store.uri
    last = next(iter(reversed(looks(folder))), None)
    evaluate = command("raytl", "evaluate", run)
    if last is None:
        raise RunError(f"{run}: the test split was not evaluated yet; expected its report. Run `{evaluate}`")
    if last.weights == source.card.digest and not last.is_reported(folder):
        raise RunError(
            f"{run}: evaluation {last.look} of the test split was interrupted; expected its report. Run `{evaluate}`, which "
            "completes it and is not counted again"
        )
    if last.weights != source.card.digest:
        raise RunError(
            f"{run}: the test split was evaluated with weights {last.weights[:12]}, and the run has {source.card.digest[:12]}; "
            f"expected the same. Restore the checkpoint, or run `{evaluate} --again`"
        )
    if not (last.report_folder(folder) / EVIDENCE).is_file():
        raise RunError(
            f"{run}: the evaluation of {last.when} stored no {EVIDENCE}, as it is of an earlier raytl; expected one. "
            f"Run `{evaluate} --again`, which counts as another evaluation of the test split"
        )
    return last


@dataclass(frozen=True, eq=False)
class _Split:
    """The images of a split and the stored answers to them, in the same order."""

    samples: Sequence[Sample]
    answers: Answers


def collected(source: Source, look: LedgerEntry, with_train: bool) -> Evidence | FindingEvidence:
    """Return the evidence of the run; images of train and validation are read unless their answers are stored.

    Raises:
        RunError: the stored evidence of test is damaged, or the run has no validation images.
        DataError: images of train or validation changed or are missing.
    """
    folder, card = source.run_store.folder, source.card
    samples = recorded(folder, "test")
    test = _Split(samples, read_evidence(look.report_folder(folder), "test", card, samples))
    val = _scored(source, "val", recorded(folder, "val"))
    train = _scored(source, "train", _sampled(recorded(folder, "train"))) if with_train else None
    if (kind := finding_kind(task_named(card.task))) is not None:
        return FindingEvidence(
            classes=card.classes,
            kind=kind,
            val=_findings(source, kind, val),
            test=_findings(source, kind, test),
            train=None if train is None else _findings(source, kind, train),
            columns=source.recipe.data.columns,
        )
    return Evidence(
        classes=card.classes,
        val=_classes(source, val),
        test=_classes(source, test),
        train=None if train is None else _classes(source, train),
        temperature=card.temperature,
        columns=source.recipe.data.columns,
        expected_temperature=expected_temperature(source.recipe.train.label_smoothing),
    )


def _sampled(samples: Sequence[Sample]) -> Sequence[Sample]:
    if len(samples) <= MAX_TRAIN_IMAGES:
        return samples
    places = np.random.default_rng(0).choice(len(samples), MAX_TRAIN_IMAGES, replace=False)
    return tuple(samples[i] for i in np.sort(places).tolist())


def _scored(source: Source, split: str, samples: Sequence[Sample]) -> _Split:
    """Return the answers to train or validation, as they are stored, or scored now."""
    folder = source.run_store.folder
    places = (folder.evaluation / f"evidence-{split}", folder.evaluation / split)
    for place in places:
        if (answers := _stored(place, split, source.card, samples)) is not None:
            return _Split(samples, answers)
    data, s3 = source.recipe.data, S3Settings.of(source.machine.storage)
    present = verified(samples, data.uri, source.on_event, data.zip_encoding, s3, data.feedback)
    shard = split_shard(source.run_store, source.recipe, source.machine, source.card, present)
    rows = score_shard(World.solo(), shard, source.on_event)
    answers = split_answers(source.card, shard, rows)
    assert answers is not None, "the task has sections"
    write_evidence(places[0], answers, split, source.card)
    source.run_store.push()
    return _Split(samples, answers)


def _stored(folder: Path, split: str, card: Card, samples: Sequence[Sample]) -> Answers | None:
    """Return the stored answers; None if there are none for these images and weights: then they are scored again."""
    if not (folder / EVIDENCE).is_file():
        return None
    try:
        return read_evidence(folder, split, card, samples)
    except RunError:
        return None


def _groups(source: Source, samples: Sequence[Sample]) -> NDArray[np.int64] | None:
    """Return the group of each sample, `(n,)`, also if all are of one: a promise about groups needs others."""
    columns = group_columns(source.recipe.data.columns)
    return kept_together(samples, columns) if columns else None


def _findings(source: Source, kind: FindingKind, split: _Split) -> SplitFindings:
    answers, findings = split.answers, split.answers.findings
    assert findings is not None, "evidence of a task with findings has them"
    if kind.unknown is not None:
        findings = replace(findings, unknown=kind.unknown(split.samples, source.card.classes))
    groups = _groups(source, split.samples)
    return SplitFindings(split.samples, findings, answers.features, answers.thumbnails, answers.properties, groups)


def _classes(source: Source, split: _Split) -> SplitEvidence:
    card, answers, task = source.card, split.answers, task_named(source.card.task)
    access = FileAccess(source.machine.max_pixels, S3Settings.of(source.machine.storage))
    encoder = task.encoder(split.samples, card.classes, card.preprocess, access)
    assert task.calibration is not None, "a task with sections and without findings decides classes"
    targets, logits = task.calibration(Truths(encoder), (answers.logits,))
    groups = _groups(source, split.samples)
    return SplitEvidence(
        split.samples, targets, logits, answers.features, answers.thumbnails, answers.properties, groups
    )
