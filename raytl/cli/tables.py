"""Results as tables, with the commands to run next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raytl.cli.numbers import metric, plural, score
from raytl.config.machine import storage_options
from raytl.run.folder import RunFolder, working_copy
from raytl.run.ledger import looks
from raytl.sanitize import command
from raytl.score_names import title
from raytl.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from raytl.batch_inference.result import BatchPredictions
    from raytl.config.schema import Experiment
    from raytl.metrics.intervals import Interval
    from raytl.tasks.reporting import TaskPredictions, TaskReport
    from raytl.training.driver import TrainResult

_FILES = {"csv": "predictions.csv", "parquet": "predictions.parquet", "coco": "predictions.json"}
"""Formats of predictions that are one file."""
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
        *_fallback(result.metrics, experiment.train.metric),
        *_adaptation(result.metrics, experiment),
        *calibration_facts(result.metrics),
        *_predict_score(result.metrics, experiment),
        *_auxiliary(result.metrics),
        ("run", result.run),
        ("curves", str(folder.curves)),
        ("confusion", f"{folder.confusion}  (validation)"),
        ("log", str(folder.log)),
    ]
    return [
        titled(f"{experiment.name}: {names[result.status]}", best),
        facts([*where, *_next(result.run, folder, experiment.task, storage_options(experiment))]),
    ]


def _fallback(metrics: Mapping[str, float], chosen_by: str) -> list[tuple[str, str]]:
    """Return which network is saved if it is not the fine-tuned one; nothing if it is."""
    if (fraction := metrics.get("fallback/fine_tuned_fraction")) is None:
        return []
    mix = f"{fraction:g} of the fine-tuned network and {1 - fraction:g} of the" if fraction else "the"
    name = chosen_by.removeprefix("val/")
    tuned = score(name, metrics[f"fallback/fine_tuned_{name}"])
    return [("network", f"{mix} pretrained network with a solved head; fine-tuned: {metric(name)} {tuned}")]


def _adaptation(metrics: Mapping[str, float], experiment: Experiment) -> list[tuple[str, str]]:
    """Return whether the network was adapted after training, with both scores; nothing without such a method."""
    if (applied := metrics.get("adaptation/applied")) is None:
        return []
    name = experiment.train.metric.removeprefix("val/")
    without, adapted = (score(name, metrics[f"adaptation/{each}_{name}"]) for each in ("without", "with"))
    word = "applied" if applied else "kept off, as it is not better beyond chance on validation"
    return [("adaptation", f"{experiment.adapt.method} {word}: {metric(name)} {without} -> {adapted}  (validation)")]


def calibration_facts(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the temperature and what it changed on validation; nothing without one."""
    if (temperature := metrics.get("calibration/temperature")) is None:
        return []
    changes = (
        f"{metric(name)} {score(name, metrics[f'calibration/uncalibrated_{name}'])} -> {score(name, metrics[f'calibration/{name}'])}"
        for name in ("log_loss", "ece")
        if {f"calibration/{name}", f"calibration/uncalibrated_{name}"} <= metrics.keys()
    )
    scores = ", ".join(changes)
    return [("calibration", f"temperature {temperature:.3f}" + (f": {scores}  (validation)" if scores else ""))]


def _predict_score(metrics: Mapping[str, float], experiment: Experiment) -> list[tuple[str, str]]:
    """Return the score from which objects are reported if validation chose it; nothing for other tasks."""
    if experiment.predict.score != "auto" or (lowest := metrics.get("predict/score")) is None:
        return []
    return [("score", f"objects are reported from {lowest:.3f} on, where F1 is highest on validation")]


def _auxiliary(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the accuracy of each auxiliary head, beside that of the most frequent answer; nothing without heads."""
    rows, of = [], " (the fine-tuned network)" if "fallback/fine_tuned_fraction" in metrics else ""
    for key, value in metrics.items():
        name = key.removeprefix("auxiliary/").removesuffix("/accuracy")
        usual, images = (metrics.get(f"auxiliary/{name}/{each}") for each in ("usual_accuracy", "images"))
        if key != f"auxiliary/{name}/accuracy" or usual is None or images is None:
            continue
        about = f"{score('accuracy', value)} of {plural(int(images), 'validation image')}"
        rows.append((f"auxiliary {name}", f"{about}; always the same answer: {score('accuracy', usual)}{of}"))
    return rows


def _calibrated(report: TaskReport) -> list[tuple[str, str]]:
    """Return the temperature of the model and what it changed on the split; nothing without one."""
    if report.calibration is None:
        return []
    from raytl.tasks.reliability import changes  # imports torch

    changed = changes(report.calibration, report.metrics)
    return [("calibration", f"temperature {report.calibration.temperature:.3f}: {changed}")]


def evaluation_tables(report: TaskReport) -> list[RenderableType]:
    """Return the scores with intervals, the classes, and the files of the report."""
    subject = report.subject
    marked = report.look is not None and report.look > 1
    title = f"{subject.run}: {subject.split} split" + (f", evaluation {report.look}" if marked else "")
    overall = table(("score", "value", "95 % interval"), right_aligned=("value", "95 % interval"))
    for name, each in report.overall.items():
        overall.add_row(metric(name), score(name, each.value), _bounds(name, each))
    where = [
        ("images", f"{report.images:,}, {report.highlights} shown"),
        *_calibrated(report),
        ("report", f"{report.folder}/report.md"),
        ("pictures", f"{report.folder}/{', '.join(report.pictures)}"),
    ]
    parts: list[RenderableType] = [titled(title, overall), _classes(report), facts(where)]
    if marked:
        text = f"evaluation {report.look} of this test split: choices made since the first may depend on its result"
        parts.append(Text(text, style="yellow"))
    return parts


def batch_tables(batch: BatchPredictions) -> list[RenderableType]:
    """Return the counts of the classes, and what was written."""
    judged = [(name, f"{number:,} of {batch.photos:,}") for name, number in batch.judged.items()]
    before = f", {batch.retained:,} of them finished before" if batch.retained else ""
    written = f"{batch.out}/: {plural(batch.photos, 'photo')} in {plural(len(batch.parts), 'part')}{before}"
    unreadable = (
        [("unreadable", f"{len(batch.unreadable):,}, listed in _unreadable.parquet")] if batch.unreadable else []
    )
    return [
        _class_counts(batch.counts, batch.unit),
        facts([*judged, ("model", batch.run), *unreadable, ("written", written)]),
    ]


def _class_counts(counts: Mapping[str, int], unit: str) -> Group:
    rows = table(("class", unit), right_aligned=(unit,))
    for name, number in list(counts.items())[:MOST_ROWS]:
        rows.add_row(Text(name), f"{number:,}")
    if len(counts) > MOST_ROWS:
        rows.add_row(f"… {len(counts) - MOST_ROWS:,} more", f"{sum(list(counts.values())[MOST_ROWS:]):,}")
    return titled("predictions", rows)


def predictions_tables(predictions: TaskPredictions, out: str | None) -> list[RenderableType]:
    """Return the first photos with their answers; if they were written to `out`, the counts of the classes."""
    judged = [(name, f"{count:,} of {len(predictions.paths):,}") for name, count in judged_counts(predictions).items()]
    if out is not None:
        return [
            _class_counts(predictions.counts, predictions.unit),
            facts([*judged, ("written", f"{out}: {plural(len(predictions.paths), 'photo')}")]),
        ]
    header, first = predictions.preview(MOST_ROWS)
    rows = table(header, right_aligned=header[-1:])
    for cells in first:
        rows.add_row(*map(Text, cells))
    more = len(predictions.paths) - MOST_ROWS
    note = Text(f"and {plural(more, 'more photo')}; --out predictions.csv writes all")
    return [titled("predictions", rows), *([note] if more > 0 else []), *([facts(judged)] if judged else [])]


def judged_counts(predictions: TaskPredictions) -> dict[str, int]:
    """Return the number of photos that are answered, unfamiliar, and count as a class with an aim, by column."""
    judged: Mapping[str, list[Any]] = getattr(predictions, "judged", {})  # of tasks that decide one class an image
    return {name: cells.count(True) for name, cells in judged.items() if name != "set"}


def predictions_out(task: str) -> list[str]:
    """Return the options of `raytl predict` that write the first format of a task."""
    from raytl.tasks.registry import task_named

    formats: tuple[str, ...] = getattr(task_named(task).reporting, "formats", ())  # a task may only train
    first = formats[0] if formats else "csv"
    if first in _FILES:
        return ["--out", _FILES[first]]
    return ["--out", "predictions/", "--format", first]


def _next(run: str, folder: RunFolder, task: str, options: list[str]) -> list[tuple[str, str]]:
    seen = len(looks(folder))
    test = f"opened {plural(seen, 'time')} so far" if seen else "locked; open it once all choices are made"
    return [
        ("next", f"{command('raytl', 'evaluate', run, *options)}    (the test split, {test})"),
        ("", command("raytl", "predict", run, "PHOTOS", *predictions_out(task), *options)),
        ("", command("tensorboard", "--logdir", folder.tensorboard)),
    ]


def _classes(report: TaskReport) -> Group:
    scores = report.by_class
    columns = ("class", scores.unit, *map(title, scores.columns))
    ranking = scores.columns[scores.ranked_by]
    worst = sorted(range(len(ranking)), key=lambda place: (isnan(ranking[place].value), ranking[place].value, place))
    order = worst[:MOST_ROWS]
    hidden = len(scores.classes) - len(order)
    grid = table(columns, right_aligned=columns[1:])
    for place in sorted(order) if not hidden else order:
        values = (score(name, column[place].value) for name, column in scores.columns.items())
        grid.add_row(Text(scores.classes[place]), f"{scores.support[place]:,}", *values)
    heading = f"the {len(order)} classes with the lowest {title(scores.ranked_by)}" if hidden else "classes"
    return titled(heading, grid)


def _bounds(name: str, each: Interval) -> str:
    return f"{score(name, each.low).removesuffix(' %')} – {score(name, each.high)}"
