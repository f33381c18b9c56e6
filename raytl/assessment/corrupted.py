"""The answers to corrupted validation photos of a run: those of an earlier report, or computed now and stored in the run."""

from __future__ import annotations

import numpy as np

from raytl.assessment.collect import Source
from raytl.data.group_split import sampling_groups
from raytl.evaluation.corrupted import corruptions_for, read_corrupted, write_corrupted
from raytl.evaluation.predictor import load
from raytl.evaluation.record import recorded, verified
from raytl.evaluation.robustness import (
    Robustness,
    ScoreRobustness,
    check_request,
    chosen_photos,
    corrupted_answers,
    judged,
    judged_scores,
)
from raytl.store.s3_settings import S3Settings
from raytl.tasks.findings import finding_kind
from raytl.tasks.registry import task_named

_FOLDER = "evidence-val"


def collected_robustness(source: Source, suite: str, photos: int) -> Robustness | ScoreRobustness:
    """Return how the run's model copes with the corruptions of `suite`, on at most `photos` validation photos: scores of the
    photos if its task has findings.

    Raises:
        UserError: there is no such suite, or `photos` is below 1.
        DataError: photos changed or are missing.
    """
    samples = recorded(source.run_store.folder, "val")
    task = task_named(source.card.task)
    has_findings = finding_kind(task) is not None
    check_request(samples, suite, photos, has_classes=not has_findings)
    chosen = chosen_photos(samples, photos)
    folder, keys = source.run_store.folder.evaluation / _FOLDER, [sample.key for sample in chosen]
    answers = read_corrupted(folder, suite, keys, source.card)
    if answers is None:
        data, s3 = source.recipe.data, S3Settings.of(source.machine.storage)
        present = verified(chosen, data.uri, source.on_event, data.zip_encoding, s3, data.feedback)
        predictor = load(source.run_store.folder.root, machine=source.machine)
        answers = corrupted_answers(predictor, present, suite, source.on_event)
        write_corrupted(folder, answers, source.card)
        source.run_store.push()
    groups = sampling_groups(chosen, source.recipe.data.columns)
    if has_findings:
        return judged_scores(answers, corruptions_for(task, suite), groups)
    place = {name: i for i, name in enumerate(source.card.classes)}
    return judged(answers, np.array([place[sample.label] for sample in chosen]), groups)
