"""Results as tables, with the commands to run next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raytl.cli.numbers import metric, plural, score
from raytl.config.machine import storage_options
from raytl.run.folder import RunFolder, working_copy
from raytl.run.ledger import looks
from raytl.sanitize import command
from raytl.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from raytl.config.schema import Experiment
    from raytl.evaluation.report import Report
    from raytl.evaluation.table import Predictions
    from raytl.metrics.intervals import Interval
    from raytl.training.driver import TrainResult

MOST_ROWS = 30


def table(columns: Sequence[str], right_aligned: Sequence[str] = ()) -> Table:
    """Return a table without vertical rules; the columns in `right` are right-aligned."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        grid.add_column(name, justify="right" if name in right_aligned else "left", overflow="fold")
    return grid


def titled(title: str, content: Table) -> Group:
    """Return a table below its title, with a blank line after it."""
    return Group(Text(title, style="bold"), content, Text())


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Return names and values in two columns."""
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def train_tables(result: TrainResult, experiment: Experiment) -> list[RenderableType]:
    """Return the metrics of the best epoch, the files of the run, and the next commands."""
    folder = RunFolder(working_copy(result.run, S3Settings.of(experiment.storage)))
    names = {
        "trained": "trained",
        "resumed": "trained, resumed after an interruption",
        "already finished": "already finished; nothing was done (--new starts over)",
    }
    ends = f" (maximum {experiment.train.epochs})" if result.epochs < experiment.train.epochs else ""
    best = table(("validation", "best epoch"), right_aligned=("best epoch",))
    for name, value in result.metrics.items():
        if name.startswith("val/") and not name.endswith("seconds"):
            best.add_row(metric(name), score(name, value))
    where = [
        ("best", f"epoch {result.best_epoch} of {result.epochs}{ends}, by {experiment.train.metric}"),
        ("run", result.run),
        ("curves", str(folder.curves)),
        ("confusion", f"{folder.confusion}  (validation)"),
        ("log", str(folder.log)),
    ]
    return [
        titled(f"{experiment.name}: {names[result.status]}", best),
        facts([*where, *_next(result.run, folder, storage_options(experiment))]),
    ]


def evaluation_tables(report: Report) -> list[RenderableType]:
    """Return the scores with intervals, the classes, and the files of the report."""
    subject = report.subject
    marked = report.look is not None and report.look > 1
    title = f"{subject.run}: {subject.split} split" + (f", evaluation {report.look}" if marked else "")
    overall = table(("score", "value", "95 % interval"), right_aligned=("value", "95 % interval"))
    for name, each in report.estimates.overall.items():
        overall.add_row(metric(name), score(name, each.value), _bounds(name, each))
    where = [
        ("images", f"{report.images:,}, {plural(len(report.mistakes), 'worst mistake')} shown"),
        ("report", f"{report.folder}/report.md"),
        ("pictures", f"{report.folder}/confusion.png, worst.png"),
    ]
    parts: list[RenderableType] = [titled(title, overall), _classes(report), facts(where)]
    if marked:
        text = f"evaluation {report.look} of this test split: choices made since the first may depend on its result"
        parts.append(Text(text, style="yellow"))
    return parts


def predictions_tables(predictions: Predictions, out: Path | None) -> list[RenderableType]:
    """Return the first photos with their classes; if they were written to `out`, the counts of the classes."""
    if out is not None:
        counts = table(("class", "photos"), right_aligned=("photos",))
        for name, number in Counter(predictions.predicted).most_common(MOST_ROWS):
            counts.add_row(Text(name), f"{number:,}")
        return [
            titled("predictions", counts),
            facts([("written", f"{out}: {plural(len(predictions.paths), 'photo')}")]),
        ]
    rows = table(("photo", "predicted", "probability"), right_aligned=("probability",))
    for path, name, row in list(zip(predictions.paths, predictions.predicted, predictions.probabilities, strict=True))[
        :MOST_ROWS
    ]:
        rows.add_row(Text(path), Text(name), f"{100 * float(max(row)):.1f} %")
    more = len(predictions.paths) - MOST_ROWS
    note = Text(f"and {plural(more, 'more photo')}; --out predictions.csv writes all")
    return [titled("predictions", rows), *([note] if more > 0 else [])]


def _next(run: str, folder: RunFolder, options: list[str]) -> list[tuple[str, str]]:
    seen = len(looks(folder))
    test = f"opened {plural(seen, 'time')} so far" if seen else "locked; open it once all choices are made"
    return [
        ("next", f"{command('raytl', 'evaluate', run, *options)}    (the test split, {test})"),
        ("", command("raytl", "predict", run, "PHOTOS", "--out", "predictions.csv", *options)),
        ("", command("tensorboard", "--logdir", folder.tensorboard)),
    ]


def _classes(report: Report) -> Group:
    columns = ("class", "images", "precision", "recall", "F1")
    each = report.estimates
    order = sorted(range(len(report.classes)), key=lambda place: (each.f1[place].value, place))[:MOST_ROWS]
    hidden = len(report.classes) - len(order)
    grid = table(columns, right_aligned=columns[1:])
    for place in sorted(order) if not hidden else order:
        scores = (score("f1", part[place].value) for part in (each.precision, each.recall, each.f1))
        grid.add_row(Text(report.classes[place]), f"{each.support[place]:,}", *scores)
    return titled(f"the {len(order)} classes with the lowest F1" if hidden else "classes", grid)


def _bounds(name: str, each: Interval) -> str:
    return f"{score(name, each.low).removesuffix(' %')} – {score(name, each.high)}"
