"""`raytl compare`: two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.completion import run_folders
from raytl.cli.numbers import metric, plural, score
from raytl.cli.options import Json, Run, Settings, s3_settings
from raytl.cli.tables import facts, table, titled
from raytl.cli.terminal import Terminal, guarded

if TYPE_CHECKING:
    from raytl.catalog.comparison import Comparison
    from raytl.catalog.difference import ConfigChange, DataChange
    from raytl.metrics.paired import Paired

_LISTED = 5


def compare(
    before: Run,
    after: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="The run to compare with it.", show_default=False, autocompletion=run_folders
        ),
    ],
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Compare two runs.

    Shows what differs in config, data and result. If both runs were evaluated on the same images, a paired test says
    whether the second is better.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.catalog.comparison import compare as compare_runs

        comparison = compare_runs(before, after, s3=s3_settings(set_))
        terminal.show(*_tables(comparison))
        terminal.result(asdict(comparison))


def _tables(comparison: Comparison) -> list[RenderableType]:
    heads = (comparison.before, comparison.after)
    return [
        _config(comparison.config, heads),
        _data(comparison.data),
        *_scores("validation, best epoch", comparison.validation, heads),
        *_scores(f"{comparison.split} split", comparison.scores, heads),
        *_tests(comparison),
    ]


def _config(changes: Sequence[ConfigChange], heads: tuple[str, str]) -> RenderableType:
    if not changes:
        return Text("config: the same\n")
    rows = table(("key", *heads))
    for change in changes:
        rows.add_row(change.key, Text(_value(change.before)), Text(_value(change.after)))
    return titled("config", rows)


def _value(value: Any) -> str:
    return "–" if value is None else str(value)


def _data(data: DataChange) -> RenderableType:
    if data.before == data.after:
        return Text(f"data: the same snapshot {data.before}, {plural(data.images[0], 'image')}\n")
    pairs = {"relabelled": data.relabelled, "moved to another split": data.moved}
    rows = [
        ("snapshots", f"{data.before} -> {data.after}"),
        ("images", f"{data.images[0]:,} -> {data.images[1]:,}"),
        *((name, _listed(keys)) for name, keys in (("added", data.added), ("removed", data.removed)) if keys),
        *((name, _listed([f"{key} ({old} -> {new})" for key, (old, new) in changes.items()]))
          for name, changes in pairs.items() if changes),
    ]  # fmt: skip
    return titled("data", facts(rows))


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _LISTED
    return f"{len(items):,}: {', '.join(items[:_LISTED])}" + (f" and {more:,} more" if more > 0 else "")


def _scores(
    title: str, scores: Mapping[str, tuple[float | None, float | None]], heads: tuple[str, str]
) -> list[RenderableType]:
    if not scores:
        return []
    rows = table(("score", *heads), right_aligned=heads)
    for name, pair in scores.items():
        rows.add_row(metric(name), *("–" if value is None else score(name, value) for value in pair))
    return [titled(title, rows)]


def _tests(comparison: Comparison) -> list[RenderableType]:
    if not comparison.tests:
        return [Text(f"no paired test: {comparison.no_test}", style="yellow")]
    rows = table(
        ("metric", "gain", "95 % interval", "fixed", "broken", "p better", "p worse"),
        right_aligned=("gain", "fixed", "broken"),
    )
    for each in comparison.tests:
        rows.add_row(*_test(each))
    return [titled(f"paired test on the {comparison.split} split, second run against first", rows)]


def _test(each: Paired) -> tuple[str, ...]:
    points = f"{100 * each.gain:+.1f} points"
    interval = f"{100 * each.low:+.1f} to {100 * each.high:+.1f}"
    return (
        metric(each.metric), points, interval, f"{each.gained:,}", f"{each.lost:,}", f"{each.p_better:.2g}",
        f"{each.p_worse:.2g}",
    )  # fmt: skip
