"""The contract of what a task says after training: reports, predictions, and the comparison of two models.

Everything outside `raytl.tasks` builds, stores and shows these values without knowing the task. Shared parts of reports are
in `markdown` and `score_text`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from raytl.data.manifest import Sample
from raytl.events import OnEvent
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.intervals import Interval
from raytl.metrics.paired import Paired
from raytl.run.ledger import LedgerEntry
from raytl.store.s3_settings import S3Settings
from raytl.stored.bounds import Count, Name, Score
from raytl.tasks.judgement import Judgement

if TYPE_CHECKING:
    from raytl.tasks.features import FeatureTable
    from raytl.tasks.reliability import Calibration
    from raytl.tasks.task import Rows

OpenPhoto = Callable[[str], Image.Image | None]
"""Return the upright photo at a path or URI as 8-bit RGB; None if it can no longer be read."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The run and split that were evaluated: `weights` is the digest of the model, `data` that of the split.

    `fine_tuned_fraction` is that of the model's card. `groups` is the number of groups of images that intervals draw whole; 0 if
    they draw images.
    """

    run: str
    model: str
    split: str
    weights: str
    data: str
    skipped: int
    fine_tuned_fraction: float | None = None
    groups: int = 0


@dataclass(frozen=True)
class Occasion:
    """The circumstances of an evaluation. `look` is its number on the test split, None on another split; `looks` are all
    evaluations of the test split so far. `folder` will hold the report."""

    subject: Subject
    look: int | None
    looks: tuple[LedgerEntry, ...]
    resamples: int
    folder: str


@dataclass(frozen=True)
class Evaluated:
    """A split as a model answered it: `truths` (made when they are read) and `rows` in the order of `samples`.

    Numbers of classes in truths and rows are places in `classes`. The model's own classes come first, in its order; a
    comparison adds those that only the other model knows.
    """

    samples: Sequence[Sample]
    truths: Sequence[Any]
    rows: Rows
    classes: tuple[str, ...]
    own: int
    """The number of classes that the model has."""
    temperature: float | None = None
    """The temperature that the logits in the rows were divided by; None if the model is not calibrated."""
    groups: Ints | None = None
    """The group of each image, `(n,)`; None if images are independent."""


@dataclass(frozen=True)
class ClassScores:
    """Scores by class with their intervals: `support` counts the images or objects of each (`unit`).

    `columns` has the scores by metric; the last ranks the classes, the worst first.
    """

    classes: tuple[str, ...]
    support: tuple[int, ...]
    unit: str
    columns: Mapping[str, tuple[Interval, ...]]

    @property
    def ranked_by(self) -> str:
        """The metric that ranks the classes."""
        return list(self.columns)[-1]


class TaskReport(Protocol):
    """The evaluation of a run on one split. `folder` holds `report.md`, `report.json` and the pictures."""

    @property
    def subject(self) -> Subject:
        """The run and split."""
        ...

    @property
    def look(self) -> int | None:
        """The number of this evaluation of the test split; None on another split."""
        ...

    @property
    def looks(self) -> tuple[LedgerEntry, ...]:
        """All evaluations of the test split so far."""
        ...

    @property
    def folder(self) -> str:
        """The folder of the report."""
        ...

    @property
    def images(self) -> int:
        """The number of photos that were scored."""
        ...

    @property
    def is_again(self) -> bool:
        """True if the test split had been evaluated before."""
        ...

    @property
    def overall(self) -> Mapping[str, Interval]:
        """Every score of the whole split with its interval, the headline first."""
        ...

    @property
    def metrics(self) -> dict[str, float]:
        """The scores without their intervals."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """The temperature of the model and the scores without it; None if it is not calibrated."""
        ...

    @property
    def by_class(self) -> ClassScores:
        """The scores of each class."""
        ...

    @property
    def highlights(self) -> str:
        """Contents of the pictures, such as `16 worst mistakes`."""
        ...

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names of the picture files."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the whole report in JSON's types; undefined scores are null.

        Its keys include the fields of `Subject`, `look`, `looks`, `metrics` (value, low and high by name) and `intervals`.
        """
        ...

    def to_markdown(self) -> str:
        """Return the report as a page, with the pictures of the same folder."""
        ...


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be read, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """The photos that were predicted: their `paths`, and sizes (width, height) of the upright originals; and those that were not.

    `weights` is the digest of the model; `left_out` has the files in the input folders that are not photos, by reason.
    """

    paths: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    unreadable: tuple[Unreadable, ...]
    weights: str
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    judgements: tuple[Judgement, ...] | None = None
    """What a report lets expect of each answer; None if no operating points are applied."""


class TaskPredictions(Protocol):
    """The answers for many photos, in the order of `paths`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The photos."""
        ...

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The photos that could not be read."""
        ...

    @property
    def weights(self) -> str:
        """The digest of the model's tensors."""
        ...

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """The files in the input folders that are not photos, by reason."""
        ...

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per photo or object."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of predictions by class, the most frequent first."""
        ...

    @property
    def unit(self) -> str:
        """Unit of `counts`: photos, or objects."""
        ...

    def preview(self, count: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the first `count` rows of a table for people; numbers are in the last column."""
        ...

    def write(self, out: str | os.PathLike[str], format: str | None = None) -> None:
        """Write them to `out`, completely or not at all; without `format`, its ending says which.

        Raises:
            UserError: there is no such format or ending.
        """
        ...


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the evaluation images (a class, or the new images): the score of the champion (`before`) and the challenger
    (`after`), and the p-value of the loss (`p_worse`).

    `score` is a fraction: accuracy, IoU or average precision. `gained` and `lost` are numbers of images.
    """

    name: str
    images: Count
    before: Score
    after: Score
    gained: Count
    lost: Count
    p_worse: Score
    is_class: bool = True
    score: Name = "accuracy"

    @property
    def drop(self) -> float:
        """The loss of the score."""
        return self.before - self.after

    @property
    def text(self) -> str:
        """`class 'glass' (83 images): 91.6 -> 86.7 %`."""
        kind = "class " if self.is_class else ""
        name = repr(self.name) if self.is_class else self.name
        return f"{kind}{name} ({self.images} images): {100 * self.before:.1f} -> {100 * self.after:.1f} %"


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """The answers of both models for one evaluation image, as text; None without a champion.

    The page of a tick shows the images that the challenger fixed (`change` 1) and broke (-1), those with the highest
    `confidence` of the challenger first.
    """

    champion: str | None
    challenger: str | None
    confidence: float
    change: int = 0


@dataclass(frozen=True)
class TaskComparison:
    """Champion and challenger on the same images; without a champion, `paired` is None and `champion_metrics` is empty."""

    metrics: dict[str, float]
    champion_metrics: dict[str, float]
    paired: Paired | None
    slices: tuple[Slice, ...]
    images: tuple[ComparedImage, ...]


class Reporting(Protocol):
    """Everything that a task says after training."""

    @property
    def gate_metrics(self) -> tuple[str, ...]:
        """Return the metrics by which a challenger can be compared with the champion; the first is the default."""
        ...

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the endings or names of the formats that predictions can be written in."""
        ...

    def report(self, occasion: Occasion, evaluated: Evaluated) -> TaskReport:
        """Return the scores with bootstrap intervals, and what is worst."""
        ...

    def resampled(self, evaluated: Evaluated, metric: str) -> Callable[[Ints], Floats] | None:
        """Return what scores each row of draws `(r, m)` of the images by `metric` of a validation, `(r,)`, from facts about
        each image that are gathered here, once.

        It is None if there are no such facts for `metric`; then `Task.validation` scores the images of each draw. The samples
        are not used.
        """
        ...

    def draw(self, report: Any, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
        """Write the pictures of a report into `folder`."""
        ...

    def stored(self, folder: Path) -> TaskReport:
        """Return the report that was written to `folder`.

        Raises:
            RunError: the report cannot be read.
        """
        ...

    def outcomes(self, evaluated: Evaluated) -> bytes:
        """Return one JSON line per image, for paired tests between runs."""
        ...

    def paired_outcomes(self, before: tuple[bytes, str], after: tuple[bytes, str]) -> tuple[tuple[Paired, ...], str]:
        """Return paired tests of two `outcomes` (content, and its name in errors), or none and the reason.

        Raises:
            RunError: one is damaged.
        """
        ...

    def predictions(self, answers: Sequence[Any], classes: tuple[str, ...], photos: Sequence[str | None]) -> list[Any]:
        """Return the public value of each answer; `photos` are paths or URIs, None for an image in memory."""
        ...

    def table(self, answers: Sequence[Any], classes: tuple[str, ...], reading: Reading) -> TaskPredictions:
        """Return all answers as one value that can be written."""
        ...

    def check_output(self, out: str | os.PathLike[str], format: str | None = None) -> Path:
        """Return the path, if `TaskPredictions.write` can write it.

        Raises:
            UserError: it cannot.
        """
        ...

    def compare(
        self, champion: Evaluated | None, challenger: Evaluated, fresh: Sequence[bool], metric: str, confidence: float
    ) -> TaskComparison:
        """Compare two models on the same samples by `metric`; `fresh` marks images that are new to the champion."""
        ...

    def features(
        self,
        model_folder: Path,
        samples: Sequence[Sample],
        device: str,
        max_pixels: int,
        on_event: OnEvent,
        s3: S3Settings,
    ) -> FeatureTable:
        """Return the samples as the saved model sees them, to measure drift.

        Raises:
            ModelError: the model has no features to compare.
        """
        ...
