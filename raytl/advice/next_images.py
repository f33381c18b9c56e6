"""`next`: which images of `data.unlabelled` to label next, and whether labels bring more than a method does.

Uncertain images that differ from each other and from what is labelled, chosen on the frozen features of the pretrained
network as `raytl collect` chooses from answers in use (`raytl.feedback.choose`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raytl.advice.curve import probe_curve
from raytl.advice.driver import LIMIT
from raytl.advice.next_sheet import table, write_page
from raytl.config.schema import Experiment
from raytl.data.group_split import group_columns, kept_together
from raytl.data.sample import Sample
from raytl.errors import ConfigError, DataError
from raytl.events import OnEvent
from raytl.feedback.choose import ranked_rows, uncertainty_of
from raytl.labelling.choose import Labelled, choose
from raytl.labelling.pseudo import learned
from raytl.metrics.confusion import Floats
from raytl.metrics.learning_curve import LearningCurve
from raytl.run.atomic import write_text
from raytl.store.pulled import place_of
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.defaults import completed
from raytl.tasks.detect import with_task
from raytl.tasks.probe_solver import measured_rows
from raytl.tasks.registry import task_named
from raytl.training.dataset import read_dataset
from raytl.training.label_plan import unlabelled_images
from raytl.uris import in_bucket, is_table_name


@dataclass(frozen=True, slots=True)
class NextImage:
    """An image to label: its key, its path, the class that the labelled images suggest, with its probability, how
    uncertain it is, from 0 to 1, and its s3:// URI if it is an object in a bucket."""

    key: str
    path: str
    suggested: str
    confidence: float
    uncertainty: float
    uri: str | None = None


@dataclass(frozen=True)
class NextImages:
    """The images to label next, the first ones first, of `unlabelled` ones; `sentences` say what their labels may bring. `out` is
    the table and `page` the page that were written."""

    images: tuple[NextImage, ...]
    unlabelled: int
    labelled: int
    sentences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    out: str | None = None
    page: str | None = None

    def __repr__(self) -> str:
        return f"NextImages({len(self.images)} of {self.unlabelled} unlabelled images)"

    def suggested(self) -> dict[str, int]:
        """Return the number of images by suggested class."""
        return dict(Counter(image.suggested for image in self.images).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "images": [{name: getattr(image, name) for name in NextImage.__slots__} for image in self.images],
            "unlabelled": self.unlabelled,
            "labelled": self.labelled,
            "sentences": self.sentences,
            "notes": self.notes,
            "out": self.out,
            "page": self.page,
        }


def next_images(
    experiment: Experiment, count: int, out: Path | None, on_event: OnEvent, force: bool = False
) -> NextImages:
    """Return the `count` images of `data.unlabelled` to label next; with `out`, write them to this table and a page beside it, over
    files that exist only with `force`.

    Raises:
        ConfigError: `count` is below 1, there is no `data.unlabelled`, `out` is no CSV file, or exists.
        DataError: the task has no single class an image, or a source cannot be used; see `read_source`.
    """
    _check(experiment, count, out, force)
    experiment = completed(with_task(experiment, on_event))
    task, s3 = task_named(experiment.task), S3Settings.of(experiment.storage)
    solver = task.head_solver
    if solver is None or solver.targets_of is None:
        raise DataError(
            f"task: found {task.name}; expected a task that gives each image one class. Set task to classification"
        )
    preprocess = task.preprocess(experiment.model, s3)
    dataset = read_dataset(experiment.data, preprocess, on_event, s3, experiment.annotations, task, experiment.labels)
    splits, names = dataset.splits, dataset.splits.classes
    backbone = task.build(experiment.model, names, s3).reading(dataset.depth.depth)
    unlabelled = unlabelled_images(experiment, backbone, dataset, on_event)
    labelled, val, others = (
        cached_features(experiment, solver, backbone, samples, on_event).numpy()
        for samples in (splits.train, splits.val, unlabelled.samples)
    )
    classes = solver.targets_of(splits.train, names)
    groups = np.asarray(kept_together(splits.train, group_columns(experiment.data.columns)))
    probabilities = learned(labelled, classes, len(names), others)
    uncertainty = uncertainty_of(np.diff(np.sort(probabilities, axis=1)[:, -2:], axis=1)[:, 0])
    rows = ranked_rows(others, uncertainty, count, labelled, experiment.train.seed)[:count]
    images = tuple(
        _image(unlabelled.samples[row], probabilities[row], float(uncertainty[row]), names, experiment) for row in rows
    )
    train = Labelled(labelled, classes, groups)
    given = Labelled(val, solver.targets_of(splits.val, names))
    lines = sentences(train, given, others, len(names), len(images), experiment, on_event)
    page: Path | None = None
    if out is not None:
        write_text(out, table(images))
        page = write_page(out, images, experiment)
    places = [None if place is None else str(place) for place in (out, page)]
    return NextImages(images, len(others), len(labelled), lines, unlabelled.notes, *places)


def _check(experiment: Experiment, count: int, out: Path | None, force: bool) -> None:
    if count < 1:
        raise ConfigError(f"-n: found {count}; expected 1 image or more")
    if experiment.data.unlabelled is None:
        raise ConfigError(
            "data.unlabelled: found null; expected a folder or s3:// prefix of images to choose from. Set it in the "
            "experiment, or with --set data.unlabelled=URI"
        )
    if out is not None and out.suffix.lower() != ".csv":
        raise ConfigError(f"--out {out}: found the ending {out.suffix!r}; expected .csv")
    if out is not None and not force:
        _check_absent(out)


def _check_absent(out: Path) -> None:
    advice = "pass --force (in Python, force=True) to overwrite it, or name another file"
    if out.exists():
        raise ConfigError(f"--out {out}: exists already, maybe with labels; {advice}")
    page = out.with_suffix(".html")
    if page.exists():
        raise ConfigError(f"--out {out}: its page {page} exists already; {advice}")


def _image(
    sample: Sample, probabilities: Floats, uncertainty: float, names: tuple[str, ...], experiment: Experiment
) -> NextImage:
    best, uri = int(probabilities.argmax()), object_uri(sample, experiment)
    return NextImage(sample.key, sample.path, names[best], float(probabilities[best]), uncertainty, uri)


def object_uri(sample: Sample, experiment: Experiment) -> str | None:
    """Return the s3:// URI of an image of `data.unlabelled`; None if it is a file, or a member of an archive."""
    if in_bucket(sample.path):
        return sample.path
    source, s3 = (experiment.data.unlabelled or "").rstrip("/"), S3Settings.of(experiment.storage)
    bucket = sample.key.partition(":")[2].partition("/")[0]  # of a row that is a URI
    roots = (source.rpartition("/")[0] if is_table_name(source) else source, f"s3://{bucket}")
    for root in filter(in_bucket, roots):
        files = place_of(root, s3).files
        if Path(sample.path).is_relative_to(files):
            return f"{root}/{Path(sample.path).relative_to(files).as_posix()}"
    return None


def sentences(
    train: Labelled, val: Labelled, others: Any, count: int, more: int, experiment: Experiment, on_event: OnEvent
) -> tuple[str, ...]:
    """Return what `more` labels are expected to bring, beside what the methods of `few.method` bring without any."""
    from torch import from_numpy

    few = experiment.few
    chosen = choose(train, val, others, count, few.fraction, few.min_confidence, experiment.train.seed)
    lines = [f"few.method: {chosen.text}"]
    if min(np.bincount(train.classes, minlength=count)) < 2:
        return (*lines, "what more labels bring is unknown: a class has a single training image")
    part = _measured(train)
    curve = probe_curve(from_numpy(part.features), part.classes, on_event, groups=part.groups)
    gain = expected_gain(curve, len(train.classes), more, len(part.classes))
    if gain is None:
        return (*lines, f"what {more} more labels bring is unknown: {curve.why or 'the learning curve is unsure'}")
    best = 100 * max((one.gain for one in chosen.compared.values()), default=0.0) if chosen.method != "none" else 0.0
    verdict = "label first" if gain > best else f"few.method: {chosen.method} brings more at once; labels add to it"
    of = "" if part is train else f" of {len(part.classes):,} of {len(train.classes):,} labelled images"
    lines.append(f"{more} more labels are expected to bring {gain:+.1f} points by the learning curve{of}: {verdict}")
    return tuple(lines)


def _measured(train: Labelled) -> Labelled:
    """Return the images of the learning curve: of many an even part of each class, as the time of a fit grows with their cube."""
    rows = measured_rows(train.classes, LIMIT) if len(train.classes) > LIMIT else None
    if rows is None:
        return train
    groups = None if train.groups is None else train.groups[rows]
    return Labelled(train.features[rows], np.unique(train.classes[rows], return_inverse=True)[1], groups)


def expected_gain(curve: LearningCurve, images: int, more: int, measured: int) -> float | None:
    """Return the fall of the error, in points, if a curve of `measured` of `images` goes on to all and for `more`; None if it
    cannot tell."""
    if curve.exponent is None or curve.exponent.low <= 0:
        return None
    error = curve.errors[-1] * (images / measured) ** -curve.exponent.value
    return float(100 * error * (1 - (1 + more / images) ** -curve.exponent.value))
