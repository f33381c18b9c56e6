"""The parts that the Markdown pages of all reports share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raytl.metrics.intervals import Interval
from raytl.run.ledger import LedgerEntry
from raytl.sanitize import printable
from raytl.tasks.score_text import interval_text, score_text, title

if TYPE_CHECKING:
    from raytl.tasks.reporting import Subject, TaskReport


def heading(report: TaskReport) -> str:
    """Return the title with the run and split."""
    again = f", evaluation {report.look}" if report.is_again else ""
    return f"# {cell(report.subject.run)}: {report.subject.split} split{again}"


def again(report: TaskReport) -> str:
    """Return the warning above a report on a test split that was evaluated before; empty above others."""
    if not report.is_again:
        return ""
    return (
        f"> **Look {report.look}.** This test split was evaluated before. Decisions since then may have been "
        "guided by it, so these numbers may be optimistic. All looks are listed below."
    )


def overall(report: TaskReport) -> str:
    """Return the table of all scores with their intervals."""
    rows = [
        (title(name), score_text(name, each.value), interval_text(name, each)) for name, each in report.overall.items()
    ]
    return table(("score", "value", "95 % interval"), rows, right_aligned={1, 2})


def classes(report: TaskReport) -> str:
    """Return the section with the scores of each class."""
    scores = report.by_class
    header = ("class", scores.unit, *map(title, scores.columns))
    rows = [
        (cell(name), str(scores.support[i]), *(with_bounds(column[i]) for column in scores.columns.values()))
        for i, name in enumerate(scores.classes)
    ]
    return "## Classes\n\n" + table(header, rows, right_aligned=set(range(1, len(header))))


def method(report: TaskReport, resamples: int, explanations: Sequence[str] = ()) -> str:
    """Return the section on how the scores were measured; `explanations` are sentences on the task's scores."""
    subject = report.subject
    left_out = f"; {subject.skipped} unreadable images of the data set were skipped (skipped.jsonl)" * bool(
        subject.skipped
    )
    lines = [
        f"- Weights: best checkpoint, `{subject.weights}`.{_fallback(subject.fine_tuned_fraction)}",
        f"- Data: {report.images} images of the {subject.split} split, `{subject.data}`, with the sha256 of every file "
        f"as recorded when the run began{left_out}.",
        f"- Intervals: percentile bootstrap, {resamples} resamples of the {drawn(subject)}. They show how much the "
        "score varies with other photos of the same kind, not with other training seeds. An interval of zero width, as "
        "an average precision of 1 has, means too few photos, not certainty.",
        *(f"- {each}" for each in explanations),
    ]
    return "## How this was measured\n\n" + "\n".join(lines) + "\n" + looks(report.looks)


def drawn(subject: Subject) -> str:
    """Return the phrase for what intervals draw."""
    return f"{subject.groups} groups of images (data.columns)" if subject.groups else "images"


def _fallback(fraction: float | None) -> str:
    """Return a sentence on the network if it is not the fine-tuned one."""
    if fraction is None:
        return ""
    mix = f"{fraction:g} of the fine-tuned network and {1 - fraction:g} of " if fraction else ""
    return f" Fine-tuning ended below its solved head on validation, so this is {mix}the pretrained network with that head."


def looks(entries: Sequence[LedgerEntry]) -> str:
    """Return the list of the evaluations of the test split."""
    if not entries:
        return "- The test split of this run has not been evaluated."
    lines = [
        f"  {each.look}. {cell(each.when)} by {cell(each.who)}, weights {cell(each.weights[:12])}" for each in entries
    ]
    return "\n".join([f"- Evaluations of this run's test split: {len(entries)}", *lines])


def with_bounds(each: Interval) -> str:
    """Return a fraction in percent with its interval: `91.2 (88–95)`."""
    return "–" if np.isnan(each.value) else f"{100 * each.value:.1f} ({100 * each.low:.0f}–{100 * each.high:.0f})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right_aligned: set[int]) -> str:
    """Return a table; the columns in `right_aligned` hold numbers."""
    marks = ["---:" if place in right_aligned else "---" for place in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows))


def cell(text: str) -> str:
    """Return a name for a Markdown table: line breaks as spaces, markup escaped."""
    line = " ".join(printable(text.encode("utf-8", "backslashreplace").decode()).split())
    return "".join("\\" + mark if mark in r"\`*_|<>[]#" else mark for mark in line)
