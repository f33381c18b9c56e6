"""Apply the operating points of a report to answers: abstain below a certified threshold, prediction sets, unfamiliar photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.errors import RunError, UserError
from raytl.metrics.aim import Aim, aims
from raytl.metrics.scores import softmax
from raytl.metrics.unfamiliar import knn_distance
from raytl.models.card import Card
from raytl.run.folder import RunFolder
from raytl.run.operating import Familiarity, Features, OperatingPoints, read_operating, read_reference
from raytl.sanitize import command
from raytl.tasks.inference import BatchFeatures
from raytl.tasks.judgement import Judgement
from raytl.tasks.saved import Saved
from raytl.tasks.watched import batch_features

COVERAGE = 0.9
"""The fraction of photos whose class the prediction set holds."""


@dataclass(frozen=True, slots=True)
class TrustOptions:
    """The operating points to apply: `require` is an aim for the answers such as `accuracy>=0.95`, `recall` are aims for classes.

    Any of them, or `uncertainty`, adds prediction sets and unfamiliar photos.
    """

    require: str | None = None
    recall: tuple[str, ...] = ()
    uncertainty: bool = False

    def __bool__(self) -> bool:
        return self.uncertainty or self.require is not None or bool(self.recall)


@dataclass(frozen=True, eq=False)
class Trust:
    """The operating points that are applied to the answers of a `saved` model.

    `answer` is the confidence from which a photo is answered, `recalls` the probability from which it counts as a class, and
    `member` that of a class in prediction sets. None, and no classes = no aim. `limit` and its `reference (m, d)` are those of unfamiliar
    photos, and `watch` returns the features of a batch; None = no limit.
    """

    saved: Saved
    answer: float | None
    recalls: Mapping[str, float]
    member: float
    limit: Familiarity | None = None
    reference: Features | None = None
    watch: BatchFeatures | None = None

    @property
    def settings(self) -> str:
        """The thresholds, as text."""
        return f"answer {self.answer}, recalls {dict(self.recalls)}, member {self.member}, unfamiliar {self.limit}"

    def judged(self, answers: Sequence[Any], features: Sequence[Features | None]) -> tuple[Judgement, ...]:
        """Return the judgement of each of n answers; `features` are n times `(d,)`, or None without a limit."""
        if not answers:
            return ()
        logits = self.saved.task.evidence(answers, [0] * len(answers))[0]  # see `Task.sections`
        table, classes = softmax(logits), self.saved.card.classes
        members, far = table >= self.member, self._unfamiliar(features)
        places = {name: classes.index(name) for name in self.recalls}
        return tuple(
            Judgement(
                set=tuple(classes[place] for place in np.flatnonzero(members[i])),
                answered=None if self.answer is None else bool(row.max() >= self.answer),
                unfamiliar=None if far is None else bool(far[i]),
                counts_as={name: bool(row[places[name]] >= least) for name, least in self.recalls.items()},
            )
            for i, row in enumerate(table)
        )

    def _unfamiliar(self, features: Sequence[Features | None]) -> NDArray[np.bool_] | None:
        if self.limit is None or self.reference is None:
            return None
        seen = np.stack([each for each in features if each is not None])
        if seen.shape[1] != self.reference.shape[1]:
            raise RunError(
                f"the reference of unfamiliar images has {self.reference.shape[1]} features; expected {seen.shape[1]}, as the model "
                "has. Run `raytl report` again, which writes it"
            )
        return np.asarray(knn_distance(seen, self.reference, self.limit.neighbors) > self.limit.distance)


def trust_of(folder: RunFolder | None, run: str, saved: Saved, options: TrustOptions) -> Trust | None:
    """Return the operating points of `run` that `options` ask for, None if for none; `folder` is None for a saved model alone.

    Raises:
        RunError: there are none, they are damaged, or of another model.
        UserError: an aim cannot be read, or the report does not show that the model meets it; all are named.
    """
    if not options:
        return None
    if "sets" not in saved.task.sections:
        raise UserError(
            f"{run}: the task of this model is {saved.task.name}; expected one that decides one class for each image, which has "
            "certified thresholds and prediction sets. Remove --require, --recall and --uncertainty"
        )
    if folder is None:
        raise RunError(
            f"{run}: found a saved model without its run; expected a run or a version, which has the operating points of "
            "`raytl report`. Name the run"
        )
    points = _points(folder, run, saved.card)
    required = [] if options.require is None else [options.require]
    thresholds = _thresholds(points, aims(required, options.recall, saved.card.classes), run)
    limit = points.unfamiliar
    return Trust(
        saved=saved,
        answer=next((value for aim, value in thresholds.items() if aim.recall_of is None), None),
        recalls={name: _least(thresholds, name) for aim in thresholds if (name := aim.recall_of) is not None},
        member=points.set_probability(COVERAGE),
        limit=limit,
        reference=None if limit is None else read_reference(folder.evaluation, limit),
        watch=None if limit is None else batch_features(saved),
    )


def _least(thresholds: Mapping[Aim, float], name: str) -> float:
    """Return the threshold that meets all aims for the recall of a class."""
    return min(value for aim, value in thresholds.items() if aim.recall_of == name)


def _points(folder: RunFolder, run: str, card: Card) -> OperatingPoints:
    points, report = read_operating(folder.evaluation), command("raytl", "report", run)
    if points is None:
        raise RunError(
            f"{run}: found no operating points; expected those of a report. Run `{report}`, which writes them"
        )
    if not points.is_of(card.digest, card.classes, card.temperature):
        raise RunError(
            f"{run}: the operating points are of weights {points.weights[:12]} with temperature {points.temperature}, and the "
            f"model has {card.digest[:12]} with {card.temperature}; expected the same. Restore the checkpoint, or run `{report}`"
        )
    return points


def _thresholds(points: OperatingPoints, wanted: Sequence[Aim], run: str) -> dict[Aim, float]:
    """Return the threshold of each aim."""
    promises = [points.promise(aim) for aim in wanted]
    problems = [
        f"{each.aim.text}: {'test does not confirm it' if each.test else 'validation does not certify it'}"
        for each in promises
        if not each.is_met
    ]
    if problems:
        raise UserError(
            f"{run}: the report does not show that the model meets {len(problems)} of {len(promises)} aims:\n"
            + "\n".join(problems)
            + f"\nexpected aims that it meets. `{command('raytl', 'report', run)}` with the same --require and --recall says how "
            "many images they need"
        )
    return {each.aim: each.certificate.threshold for each in promises if each.certificate.threshold is not None}
