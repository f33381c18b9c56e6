"""An evaluation as a value, as JSON, and as a Markdown page that a person likes to read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import cells_of
from raytl.metrics.intervals import Estimates, Interval
from raytl.run.ledger import LedgerEntry
from raytl.run.plain import plain
from raytl.sanitize import printable

_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "ece": "expected calibration error",
}
_PERCENT = {"accuracy", "balanced_accuracy", "macro_f1", "ece"}
_CONFUSIONS = 10


@dataclass(frozen=True, slots=True)
class Mistake:
    """A photo that was called something else; `probability` is that of the predicted class."""

    key: str
    path: str
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True, slots=True)
class Subject:
    """What was evaluated: `weights` is the digest of the bundle, `data` that of the split's keys, labels and bytes."""

    run: str
    model: str
    split: str
    weights: str
    data: str
    skipped: int


@dataclass(frozen=True)
class Evaluation:
    """One look at a split: what was looked at, every score with its interval, and where it is written.

    `matrix (classes, classes)` has the true classes in rows; `looks` are all looks at the test split so far.
    `look` is this one's number on the test split, None on another.
    """

    subject: Subject
    classes: tuple[str, ...]
    estimates: Estimates
    matrix: NDArray[np.int64]
    mistakes: tuple[Mistake, ...]
    look: int | None
    looks: tuple[LedgerEntry, ...]
    resamples: int
    folder: str

    @property
    def images(self) -> int:
        """How many photos were scored."""
        return int(self.matrix.sum())

    @property
    def metrics(self) -> dict[str, float]:
        """The scores without their intervals."""
        return {name: each.value for name, each in self.estimates.overall.items()}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The whole evaluation in JSON's own types; undefined scores are null."""
    found, each = evaluation, evaluation.estimates
    per_class = {
        name: {
            "support": each.support[place],
            "precision": asdict(each.precision[place]),
            "recall": asdict(each.recall[place]),
            "f1": asdict(each.f1[place]),
        }
        for place, name in enumerate(found.classes)
    }
    value = {
        **asdict(found.subject),
        "images": found.images,
        "look": found.look,
        "metrics": {name: asdict(interval) for name, interval in each.overall.items()},
        "classes": per_class,
        "confusion": {"classes": found.classes, "cells": cells_of(found.matrix)},
        "mistakes": [asdict(mistake) for mistake in found.mistakes],
        "looks": [asdict(look) for look in found.looks],
        "intervals": {"method": "percentile bootstrap over images", "level": 0.95, "resamples": found.resamples},
        "folder": found.folder,
    }
    return dict(plain(value))


def as_markdown(evaluation: Evaluation) -> str:
    """The report as a Markdown page, with the pictures of the same folder."""
    parts = [
        _opening(evaluation),
        _overall(evaluation),
        _classes(evaluation),
        _confusions(evaluation),
        _mistakes(evaluation),
        _method(evaluation),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def title(name: str) -> str:
    """`balanced_accuracy` as people write it; `top_5_accuracy` becomes `top-5 accuracy`."""
    return _NAMES.get(name) or name.replace("top_", "top-").replace("_", " ")


def shown(name: str, value: float) -> str:
    """A score as text: shares in percent, log loss as it is, an undefined one as a dash."""
    if np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if name in _PERCENT or name.startswith("top_") else f"{value:.3f}"


def _opening(found: Evaluation) -> str:
    accuracy = found.estimates.overall["accuracy"]
    lines = [
        f"# {_cell(found.subject.run)}: {found.subject.split} split"
        + (f", look {found.look}" if _again(found) else ""),
        f"**Accuracy {shown('accuracy', accuracy.value)}** (95 % interval {_bounds('accuracy', accuracy)}) on "
        f"{found.images} images of {sum(count > 0 for count in found.estimates.support)} classes, `{found.subject.model}`.",
    ]
    if _again(found):
        lines.append(
            f"> **Look {found.look}.** This test split had been looked at before; choices made since may have been "
            "steered by it, so these numbers may flatter the model. All looks are listed below."
        )
    return "\n\n".join(lines)


def _again(found: Evaluation) -> bool:
    return found.look is not None and found.look > 1


def _overall(found: Evaluation) -> str:
    rows = [
        (title(name), shown(name, each.value), _bounds(name, each)) for name, each in found.estimates.overall.items()
    ]
    return _table(("score", "value", "95 % interval"), rows, right={1, 2})


def _classes(found: Evaluation) -> str:
    each = found.estimates
    rows = [
        (_cell(name), str(each.support[i]), *(_with_bounds(part[i]) for part in (each.precision, each.recall, each.f1)))
        for i, name in enumerate(found.classes)
    ]
    return "## Classes\n\n" + _table(("class", "images", "precision", "recall", "F1"), rows, right={1, 2, 3, 4})


def _confusions(found: Evaluation) -> str:
    wrong = found.matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    cells = [divmod(int(flat), len(found.classes)) for flat in order if wrong.flat[flat]]
    picture = "## Confusions\n\n![Confusion matrix](confusion.png)"
    if not cells:
        return picture
    support = found.estimates.support
    rows = [
        (_cell(found.classes[i]), _cell(found.classes[j]), str(wrong[i, j]), f"{100 * wrong[i, j] / support[i]:.0f} %")
        for i, j in cells
    ]
    return picture + "\n\n" + _table(("is", "called", "images", "of the class"), rows, right={2, 3})


def _mistakes(found: Evaluation) -> str:
    if not found.mistakes:
        return "## Worst mistakes\n\nNo photo was called wrongly."
    rows = [(_cell(m.key), _cell(m.true), _cell(m.predicted), f"{100 * m.probability:.1f} %") for m in found.mistakes]
    heading = "## Worst mistakes\n\nWrong and most sure of it. Look for wrong labels among them first.\n\n"
    return heading + "![Worst mistakes](worst.png)\n\n" + _table(("photo", "is", "called", "surely"), rows, right={3})


def _method(found: Evaluation) -> str:
    subject = found.subject
    left_out = f"; {subject.skipped} unreadable images of the data set were left out (skipped.jsonl)" * bool(
        subject.skipped
    )
    lines = [
        f"- Weights: best checkpoint, `{subject.weights}`.",
        f"- Data: {found.images} images of the {subject.split} split, `{subject.data}`, every file's sha256 as it was "
        f"when the run began{left_out}.",
        f"- Intervals: percentile bootstrap, {found.resamples} resamples of the images. They say how much the score "
        "would move with other photos of the same kind, not with other training seeds; an interval of no width, as of "
        "a class without a mistake, says that there were too few photos to see one, not that there will be none.",
        "- Balanced accuracy is the mean recall, macro F1 the mean F1 over classes; a dash is a score that is "
        "undefined (no such image, or never called so). Calibration error: 15 bins of equal width.",
    ]
    return "## How this was measured\n\n" + "\n".join(lines) + "\n" + _looks(found.looks)


def _looks(looks: Sequence[LedgerEntry]) -> str:
    if not looks:
        return "- The test split of this run has not been looked at."
    lines = [
        f"  {each.look}. {_cell(each.when)} by {_cell(each.who)}, weights {_cell(each.weights[:12])}" for each in looks
    ]
    return "\n".join([f"- Looks at this run's test split: {len(looks)}", *lines])


def _with_bounds(each: Interval) -> str:
    return "–" if np.isnan(each.value) else f"{100 * each.value:.1f} ({100 * each.low:.0f}–{100 * each.high:.0f})"


def _bounds(name: str, each: Interval) -> str:
    low, high = shown(name, each.low), shown(name, each.high)
    return f"{low.removesuffix(' %')} – {high}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], right: set[int]) -> str:
    marks = ["---:" if place in right else "---" for place in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows))


def _cell(text: str) -> str:
    """A name as it can stand in a Markdown table: line breaks as spaces, marks escaped."""
    line = " ".join(printable(text.encode("utf-8", "backslashreplace").decode()).split())
    return "".join("\\" + mark if mark in r"\`*_|<>[]#" else mark for mark in line)
