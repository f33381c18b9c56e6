"""The operating points of a model: what `raytl report` measured of its answers, for `raytl predict` to apply.

`operating.json` lies beside the report. It has the counts of validation and test from which the threshold of any aim follows,
the probabilities of prediction sets, and the limit of unfamiliar images. `reference.safetensors` has the features of training images
that this limit is a distance to, `features (m, d) float16`. Both belong to one model: its weights, classes and temperature.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from raytl.errors import RunError
from raytl.metrics.aim import Aim
from raytl.metrics.binomial import fraction
from raytl.metrics.calibration import TEMPERATURES
from raytl.metrics.certified import Certificate, certificate, is_confirmed
from raytl.metrics.intervals import Interval
from raytl.run.atomic import write_bytes, write_json
from raytl.stored import Format
from raytl.stored.bounds import Bound, Classes, Count, Digest, Name, at_least, at_most, within

OPERATING, REFERENCE = "operating.json", "reference.safetensors"
REPORT_FOLDER = "report"
"""The folder of `raytl report` in the evaluation folder of a run."""
MAX_REFERENCE_BYTES = 4 << 20
"""Size of the features of a reference: 1,638 images with 1,280 features."""
_MAX_FILE_BYTES = MAX_REFERENCE_BYTES + (1 << 16)
_ADVICE = "Run `raytl report` again, which writes it."
Fraction = Annotated[float, within(0, 1)]
Grid = Annotated[tuple[Fraction, ...], at_least(1, "threshold"), at_most(1000, "thresholds")]
Counts = Annotated[tuple[Count, ...], at_most(1000, "counts")]
Features = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of a split at each threshold of a grid: the `images` that reach it, and the `hits` that keep the promise."""

    hits: Counts
    images: Counts


@dataclass(frozen=True, slots=True)
class Tried:
    """The counts of a grid on validation, which chooses a threshold, and on test, which confirms it."""

    validation: Tally
    test: Tally


@dataclass(frozen=True, slots=True)
class SetLevel:
    """Sets of the classes with at least this `probability` hold the true class of `at_least` of the images; None = with any."""

    at_least: Fraction
    probability: Fraction | None


@dataclass(frozen=True, slots=True)
class Familiarity:
    """An image is unfamiliar if the `distance` to its neighbor number `neighbors` of the reference is exceeded.

    The reference has `images` images and the sha256 of its file.
    """

    neighbors: Annotated[int, within(1, 1000)]
    distance: Annotated[float, within(0, 2.01)]
    images: Annotated[int, within(1, MAX_REFERENCE_BYTES)]
    sha256: Digest


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """The measured operating points of the model with these `weights`, `classes` and `temperature`.

    `look` is the evaluation of the test split that confirms them; `recalls` are in the order of the classes.
    """

    format: Literal[1]
    weights: Name
    temperature: Annotated[float, within(*TEMPERATURES)] | None
    classes: Classes
    look: Annotated[int, within(1, 10**6)]
    answer_grid: Grid
    answers: Tried
    recall_grid: Grid
    recalls: Annotated[tuple[Tried, ...], at_most(100_000, "classes")]
    sets: Annotated[tuple[SetLevel, ...], at_most(10, "levels")]
    unfamiliar: Familiarity | None
    aims: Annotated[tuple[Aim, ...], at_most(1000, "aims")] = ()
    of_groups: bool = False
    """True if the counts are of groups of images, as images of one are not independent."""

    def promise(self, aim: Aim) -> Promise:
        """Return whether validation certifies an aim, and test confirms it."""
        grid, tried = self.answer_grid, self.answers
        if aim.recall_of is not None:
            grid, tried = self.recall_grid, self.recalls[self.classes.index(aim.recall_of)]
        chosen = certificate(np.array(grid), tried.validation.hits, tried.validation.images, aim.value, self.of_groups)
        if chosen.threshold is None:
            return Promise(aim, chosen)
        place = grid.index(chosen.threshold)
        return Promise(aim, chosen, fraction(tried.test.hits[place], tried.test.images[place]))

    def set_probability(self, coverage: float) -> float:
        """Return the least probability of a class of a prediction set for a coverage; 0 if every class is in every set."""
        return next((each.probability or 0.0 for each in self.sets if each.at_least == coverage), 0.0)

    def is_of(self, weights: str, classes: tuple[str, ...], temperature: float | None) -> bool:
        """Return True if they are those of this model."""
        return (self.weights, self.classes, self.temperature) == (weights, classes, temperature)


@dataclass(frozen=True, slots=True)
class Promise:
    """An aim, its certificate, and if it has a threshold, the fraction of test images that keep it."""

    aim: Aim
    certificate: Certificate
    test: Interval | None = None

    @property
    def is_met(self) -> bool:
        """True if it is certified, and test has images that could contradict it, and do not."""
        return self.test is not None and is_confirmed(self.test, self.aim.value)


def _is_whole(points: OperatingPoints) -> bool:
    """Return True if each class has recalls, each threshold has counts with no more hits than images, and each aim is for one of
    the classes."""
    parts = [(len(points.answer_grid), points.answers), *((len(points.recall_grid), each) for each in points.recalls)]
    tallies = [(size, tally) for size, tried in parts for tally in (tried.validation, tried.test)]
    return (
        len(points.recalls) == len(points.classes)
        and {aim.recall_of for aim in points.aims} <= {None, *points.classes}
        and all(len(each.hits) == len(each.images) == size for size, each in tallies)
        and all(hits <= images for _, each in tallies for hits, images in zip(each.hits, each.images, strict=True))
    )


OPERATING_FORMAT = Format[OperatingPoints](
    Annotated[OperatingPoints, Bound("counts for each class and threshold, with no more hits than images", _is_whole)],
    "the operating points of a model",
    _ADVICE,
    max_bytes=256 << 20,
)


def write_operating(folder: Path, points: OperatingPoints, reference: bytes | None) -> None:
    """Write both files into `folder`, a draft that no reader sees; `reference` is that of `points.unfamiliar`."""
    assert (points.unfamiliar is None) == (reference is None), "a limit has a reference"
    if reference is not None:
        write_bytes(folder / REFERENCE, reference)
    write_json(folder / OPERATING, asdict(points))


def read_operating(evaluation: Path) -> OperatingPoints | None:
    """Return the operating points in the evaluation folder of a run; None if there are none.

    Raises:
        RunError: the file is damaged.
    """
    path = evaluation / REPORT_FOLDER / OPERATING
    return OPERATING_FORMAT.load(path) if path.is_file() else None


def encoded_reference(features: Features) -> bytes:
    """Return the reference file of `features (m, d)`."""
    from safetensors.numpy import save

    return save({"features": np.ascontiguousarray(features)})


def read_reference(evaluation: Path, limit: Familiarity) -> Features:
    """Return the features `(m, d)` of the reference of `limit`.

    Raises:
        RunError: the file is missing, too large, damaged, another one, or not a regular file.
    """
    path = evaluation / REPORT_FOLDER / REFERENCE
    if path.exists() and not path.is_file():  # a pipe would never end
        raise RunError(f"{path}: not a regular file; expected features of images. {_ADVICE}")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); expected features of images. {_ADVICE}") from error
    if hashlib.sha256(content).hexdigest() != limit.sha256:
        raise RunError(f"{path}: its sha256 is not the one in {OPERATING}; expected the file of one report. {_ADVICE}")
    return _decoded(content, limit.images, path)


def _decoded(content: bytes, images: int, path: Path) -> Features:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        features = load(content)["features"]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); expected features of images. {_ADVICE}") from error
    if features.dtype != np.float16 or features.ndim != 2 or len(features) != images:
        raise RunError(f"{path}: found {features.dtype} {features.shape}; expected float16 ({images}, d). {_ADVICE}")
    if not np.isfinite(features).all():
        raise RunError(f"{path}: found values that are not finite; expected numbers. {_ADVICE}")
    return np.asarray(features)
