"""Select the photos to explain: those that a user names, or the mistakes of a split with some correct answers beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raytl.config.machine import Machine
from raytl.config.stored import stored_experiment
from raytl.data.manifest import Sample
from raytl.data.targets import Target
from raytl.errors import RunError
from raytl.evaluation.evaluate import OUTCOMES
from raytl.evaluation.predictor import Predictor, answers_of
from raytl.evaluation.record import recorded, verified
from raytl.events import OnEvent
from raytl.run import RunFolder
from raytl.run.ledger import looks
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings
from raytl.tasks.explaining import Explaining

RIGHT_PER_CLASS = 5
"""Right answers of each class that are explained beside the mistakes."""


@dataclass(frozen=True, slots=True)
class Item:
    """A photo to explain, and its `target` if it is known. Of a mistake, only what is wrong is explained."""

    path: str
    target: Target = None
    is_mistake: bool = False


def mistakes(
    run: str, split: str, predictor: Predictor, explaining: Explaining, machine: Machine, on_event: OnEvent
) -> tuple[Item, ...]:
    """Return the photos of a split of the run that the model gets wrong, and `RIGHT_PER_CLASS` correct ones of each class.

    The test split is not opened: which of its answers are wrong is read from the outcomes of the last evaluation.

    Raises:
        RunError: no such run, no images in the split, or for the test split no evaluation of these weights.
        DataError: images of the split changed or are missing.
    """
    s3 = S3Settings.of(machine.storage)
    folder = RunStore.open(run, s3).folder
    data = stored_experiment(folder.experiment).recipe.data
    correct = _outcomes(run, folder, predictor.weights, explaining) if split == "test" else None
    samples = recorded(folder, split)
    if correct is not None:
        samples = _selected(samples, correct, explaining)
    samples = tuple(verified(samples, data.uri, on_event, data.zip_encoding, s3, data.feedback))
    if correct is None:
        correct = _answered(samples, predictor, explaining)
        samples = _selected(samples, correct, explaining)
    return tuple(Item(sample.path, sample.target, not correct[sample.key]) for sample in samples)


def _answered(samples: Sequence[Sample], predictor: Predictor, explaining: Explaining) -> dict[str, bool]:
    """Return by key whether the answer for each sample is correct."""
    answers = answers_of(predictor, [sample.path for sample in samples])
    correct = {}
    for position, answer in zip(answers.positions, answers.answers, strict=True):
        sample = samples[position]
        statements = explaining.statements(answer, predictor.classes, sample.target, None)
        correct[sample.key] = all(statement.correct is not False for statement in statements)
    return correct


def _selected(samples: Iterable[Sample], correct: Mapping[str, bool], explaining: Explaining) -> tuple[Sample, ...]:
    """Return the mistakes, and the first correct samples of each class; samples without an outcome are left out."""
    counts: Counter[str] = Counter()
    chosen = []
    for sample in samples:
        classes = explaining.true(sample.target) or ()
        if sample.key in correct and (
            not correct[sample.key] or any(counts[name] < RIGHT_PER_CLASS for name in classes)
        ):
            chosen.append(sample)
            counts.update(classes if correct[sample.key] else ())
    return tuple(chosen)


def _outcomes(run: str, folder: RunFolder, weights: str, explaining: Explaining) -> Mapping[str, bool]:
    """Return by key whether each test image was correct at the last look, which must be one at these weights."""
    last = next(iter(reversed(looks(folder))), None)
    path = None if last is None else last.report_folder(folder) / OUTCOMES
    if last is None or path is None or last.weights != weights or not path.is_file():
        raise RunError(
            f"{run}: found no outcomes of the test split at these weights; expected those of an evaluation. "
            "Explain the validation split (--split val), or run `raytl evaluate` once all choices are made"
        )
    return explaining.stored(path)
