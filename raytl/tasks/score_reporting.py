"""Report tasks whose scores are of sets of images: mean average precision, mean IoU, macro F1."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample
from raytl.events import OnEvent
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Groups, Measure, values
from raytl.metrics.paired import IMAGE_RESAMPLES, Paired, classes_by_images, paired_by_images
from raytl.store.s3_settings import S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, Score
from raytl.tasks.features import FeatureTable
from raytl.tasks.outcome_rows import group_numbers, outcome_lines, paired_groups
from raytl.tasks.pooled import Impression, pooled_features
from raytl.tasks.predictions import PredictionKind
from raytl.tasks.reporting import (
    ComparedImage,
    Evaluated,
    Occasion,
    OpenPhoto,
    Reading,
    Slice,
    TaskComparison,
    TaskPredictions,
)
from raytl.tasks.score_report import ReportKind, ScoreReport
from raytl.tasks.stored_report import stored_scores

F = TypeVar("F")
NEW_IMAGES = "new images"
_MIN_NEW_IMAGES = 10
_SWAPS_PER_CLASS, _MAX_CLASS_SWAPS = 20, 4000
"""Swaps that resolve a p-value of 0.05 corrected for the number of classes, up to 200 classes."""


@dataclass(frozen=True)
class Scoring(Generic[F]):
    """The scores of a task, for comparisons of two models.

    `facts` returns what `measure` needs, with the classes in the given order; `joined` those of two models about the same
    images, one after the other. The gate compares by one of `metrics`, the first by default, and by `by_class`, a score of
    each class. `by_image` returns a score of each image, `(n,)` in [0, 1], called `image_metric`.
    """

    facts: Callable[[Evaluated, tuple[str, ...]], F]
    joined: Callable[[F, F], F]
    measure: Callable[[F, Ints, Collection[str]], dict[str, Floats]]
    metrics: tuple[str, ...]
    by_class: str
    by_image: Callable[[Evaluated], Floats]
    image_metric: str


@dataclass(frozen=True, slots=True)
class ImageScore:
    """One image of an evaluation, with its own score; images of a `group` are not independent."""

    key: Name
    score: Score
    group: Count | None = None


SCORE_FORMAT = Format[ImageScore](
    ImageScore, "the score of an image", "Restore the file, or delete it to go without paired tests.", max_bytes=1 << 18
)


@dataclass(frozen=True)
class ScoreReporting(Generic[F]):
    """See `raytl.tasks.reporting.Reporting`; a task describes its reports, predictions and scores."""

    kind: ReportKind
    reported: Callable[[Occasion, Evaluated], ScoreReport]
    predicted: PredictionKind[Any]
    value: Callable[[Any, tuple[str, ...], str | None], Any]
    scoring: Scoring[F]
    impression: Impression

    @property
    def gate_metrics(self) -> tuple[str, ...]:
        """The metrics that the gate can compare by."""
        return self.scoring.metrics

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of the formats of predictions."""
        return self.predicted.names

    def report(self, occasion: Occasion, evaluated: Evaluated) -> ScoreReport:
        """Return every score with its interval, and the worst images."""
        return self.reported(occasion, evaluated)

    def resampled(self, evaluated: Evaluated, metric: str) -> Callable[[Ints], Floats] | None:
        """Return what scores draws of the images by `metric`."""
        scoring = self.scoring
        if metric not in scoring.metrics:
            return None
        facts = scoring.facts(evaluated, evaluated.classes)
        return lambda draws: scoring.measure(facts, draws, (metric,))[metric]

    def draw(self, report: ScoreReport, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
        """Write the charts and the worst images into `folder`."""
        self.kind.draw(report, folder, evaluated, photo)

    def stored(self, folder: Path) -> ScoreReport:
        """Return the report in `folder`."""
        return stored_scores(self.kind, folder)

    def outcomes(self, evaluated: Evaluated) -> bytes:
        """Return the score of each image, as JSON lines."""
        scores = self.scoring.by_image(evaluated).tolist()
        groups = group_numbers(evaluated.groups, len(scores))
        return outcome_lines(
            ImageScore(sample.key, round(score, 6), group)
            for sample, score, group in zip(evaluated.samples, scores, groups, strict=True)
        )

    def paired_outcomes(self, before: tuple[bytes, str], after: tuple[bytes, str]) -> tuple[tuple[Paired, ...], str]:
        """Return the paired test of the mean score of an image."""
        one, other = ({row.key: row for row in SCORE_FORMAT.lines(*each)} for each in (before, after))
        if one.keys() != other.keys():
            return (), "the outcomes of the reports are of different images"
        same = [other[key] for key in one]
        scores = np.array([row.score for row in (*one.values(), *same)])
        groups = paired_groups([row.group for row in one.values()], [row.group for row in same])
        name = self.scoring.image_metric
        test = paired_by_images(lambda draws: {name: scores[draws].mean(axis=1)}, len(one), name, groups=groups)
        return (test,), ""

    def predictions(self, answers: Sequence[Any], classes: tuple[str, ...], photos: Sequence[str | None]) -> list[Any]:
        """Return the public value of each answer."""
        return [self.value(answer, classes, photo) for answer, photo in zip(answers, photos, strict=True)]

    def table(self, answers: Sequence[Any], classes: tuple[str, ...], reading: Reading) -> TaskPredictions:
        """Return all answers as one value that can be written."""
        return self.predicted.table(answers, classes, reading)

    def check_output(self, out: str | os.PathLike[str], format: str | None = None) -> Path:
        """Return the path, if predictions can be written there."""
        return self.predicted.check_output(out, format)

    def compare(
        self, champion: Evaluated | None, challenger: Evaluated, fresh: Sequence[bool], metric: str, confidence: float
    ) -> TaskComparison:
        """Compare two models on the same samples by `metric`."""
        scoring, classes, groups = self.scoring, challenger.classes, challenger.groups
        n, new = len(challenger.samples), scoring.facts(challenger, classes)
        metrics = _metrics(scoring, new, n)
        if champion is None:
            return TaskComparison(metrics, {}, None, (), compared_images(None, scoring.by_image(challenger)))
        old = scoring.facts(champion, classes)
        joined = scoring.joined(old, new)
        measure = partial(_measured, scoring.measure, joined, (metric,))
        return TaskComparison(
            metrics=metrics,
            champion_metrics=_metrics(scoring, old, n),
            paired=paired_by_images(measure, n, metric, confidence=confidence, groups=groups),
            slices=(
                *class_slices(
                    partial(_measured, scoring.measure, joined, (scoring.by_class,)),
                    n,
                    classes,
                    scoring.by_class,
                    groups=groups,
                ),
                *fresh_slice(measure, np.asarray(fresh, bool), metric, groups),
            ),
            images=compared_images(scoring.by_image(champion), scoring.by_image(challenger)),
        )

    def features(
        self,
        model_folder: Path,
        samples: Sequence[Sample],
        device: str,
        max_pixels: int,
        on_event: OnEvent,
        s3: S3Settings,
    ) -> FeatureTable:
        """Return the features of the last stage of the backbone, averaged over the image."""
        return pooled_features(model_folder, samples, device, max_pixels, on_event, s3, self.impression)


def _measured(
    measure: Callable[[F, Ints, Collection[str]], dict[str, Floats]], facts: F, names: tuple[str, ...], draws: Ints
) -> dict[str, Floats]:
    return measure(facts, draws, names)


def _metrics(scoring: Scoring[F], facts: F, n: int) -> dict[str, float]:
    measured = values(lambda draws: scoring.measure(facts, draws, scoring.metrics), n)
    return {name: float(value) for name, value in measured.items()}


def class_slices(
    measure: Measure, n: int, classes: Sequence[str], score: str, seed: int = 0, groups: Groups | None = None
) -> tuple[Slice, ...]:
    """Return the score of both models for each class that occurs, with the p-value of its loss under random swaps of answers.

    `measure` draws from 2n images: as answered before, then after.
    """
    resamples = min(_MAX_CLASS_SWAPS, max(IMAGE_RESAMPLES, _SWAPS_PER_CLASS * len(classes)))
    changes = classes_by_images(measure, n, score, resamples=resamples, seed=seed, groups=groups)
    return tuple(
        Slice(name, each.images, each.before, each.after, each.gained, each.lost, each.p_worse, score=score)
        for name, each in zip(classes, changes, strict=True)
        if not np.isnan(each.after - each.before)
    )


def fresh_slice(
    measure: Measure, fresh: NDArray[np.bool_], metric: str, groups: Groups | None = None
) -> tuple[Slice, ...]:
    """Return the score of both models on the `fresh` images; none if they are few, or all."""
    places = np.flatnonzero(fresh)
    if not _MIN_NEW_IMAGES <= len(places) < len(fresh):
        return ()
    both = np.concatenate([places, places + len(fresh)])
    own = None if groups is None else groups[places]
    test = paired_by_images(lambda draws: measure(both[draws]), len(places), metric, groups=own)
    return (
        Slice(NEW_IMAGES, len(places), test.before, test.after, test.gained, test.lost, test.p_worse, False, metric),
    )


def compared_images(before: Floats | None, after: Floats) -> tuple[ComparedImage, ...]:
    """Return the scores of each image as text; an image is fixed or broken if its score changes, most if by most."""
    if before is None:
        return tuple(ComparedImage(None, f"{100 * score:.0f} %", float(score)) for score in after)
    gains = after - before
    return tuple(
        ComparedImage(f"{100 * old:.0f} %", f"{100 * new:.0f} %", abs(float(gain)), int(np.sign(np.round(gain, 6))))
        for old, new, gain in zip(before, after, gains, strict=True)
    )
