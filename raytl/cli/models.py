"""`raytl models`: list, compare, promote, roll back and clean up the published versions of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import metric, plural, score, size
from raytl.cli.options import Json, Settings, s3_settings
from raytl.cli.progress import PlainWatcher
from raytl.cli.tables import calibration_facts, facts, table, titled
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_experiment
from raytl.errors import ConfigError
from raytl.events import OnEvent, ignore
from raytl.registry.record import CHAMPION, Move, Record, State
from raytl.registry.reference import registry_uri
from raytl.registry.registry import Registry, Survey
from raytl.run.provenance import user
from raytl.sanitize import command, printable
from raytl.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from raytl.registry.cleaning import CleanupPlan
    from raytl.registry.difference import Difference

Place = Annotated[
    str,
    typer.Argument(
        metavar="REGISTRY",
        help="A folder or s3:// prefix, a name below RAYTL_REGISTRY, or an experiment file with retrain.registry.",
        show_default=False,
    ),
]
Which = Annotated[str, typer.Argument(metavar="VERSION", help="A number or an alias.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, kept in the history.")]
_MAX_MOVES = 12
_MAX_FOREIGN = 10
_USUAL = ("balanced_accuracy", "accuracy", "log_loss")
_MAX_METRICS = 3


def opened(place: str, overrides: list[str] | None, on_event: OnEvent = ignore) -> Registry:
    """Open the registry that `place` names; `overrides` say how this machine reaches it."""
    if not place.endswith((".yaml", ".yml")):
        return Registry.open(registry_uri(place), on_event, s3_settings(overrides))
    experiment = load_experiment(Path(place), overrides or [])
    if experiment.retrain.registry is None:
        raise ConfigError(f"{place}: retrain.registry is not set; expected the folder or s3:// prefix of the versions")
    return Registry.open(experiment.retrain.registry, on_event, S3Settings.of(experiment.storage))


def list_(place: Place, set_: Settings = None, json: Json = False) -> None:
    """List the versions and the last moves of aliases."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        registry = opened(place, set_, PlainWatcher(terminal.err))
        survey, state = registry.survey(), registry.state()
        terminal.show(*_listing(registry, survey.records, state, survey.history[-_MAX_MOVES:]), *_other_objects(survey))
        terminal.result(
            {
                "registry": registry.uri,
                "aliases": state.aliases,
                "versions": [record.to_json() for record in survey.records],
                "history": [asdict(move) for move in survey.history],
                "unreadable": [asdict(each) for each in survey.unread],
                "ignored": survey.strays,
            }
        )


def show(place: Place, version: Which = CHAMPION, set_: Settings = None, json: Json = False) -> None:
    """Show a version: its model, training data, scores, calibration and operating points."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.retraining.calibrated import calibration_of
        from raytl.retraining.operating import operating_facts, operating_json, operating_of

        notes = PlainWatcher(terminal.err)
        registry = opened(place, set_, notes)
        state = registry.state()
        record = registry.record(registry.resolve(version, state))
        calibration, points = calibration_of(registry, record, notes), operating_of(registry, record, notes)
        terminal.show(*_version(registry, record, state, [*_calibration(calibration), *operating_facts(points)]))
        extra = {"aliases": _names(record, state), "calibration": calibration, "operating": operating_json(points)}
        terminal.result({**record.to_json(), **extra})


def diff(
    place: Place,
    before: Annotated[str, typer.Argument(metavar="A", help="A number or an alias.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="A number or an alias.", show_default=False)],
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Show the differences from version A to version B: recipe, data, classes, scores."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.registry.difference import difference

        registry = opened(place, set_, PlainWatcher(terminal.err))
        state = registry.state()
        records = [registry.record(registry.resolve(which, state)) for which in (before, after)]
        differences = difference(registry, *records)
        terminal.show(*_difference(differences))
        terminal.result(asdict(differences))


def promote(
    place: Place,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number or an alias.", show_default=False)],
    alias: Annotated[str, typer.Option(metavar="NAME", help="The alias to move.")] = CHAMPION,
    why: Why = "by hand",
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Make a version the champion, or move another alias to it; the old champion becomes `previous`."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        registry = opened(place, set_, PlainWatcher(terminal.err))
        seen = registry.state()
        number = registry.resolve(version, seen)
        if alias == CHAMPION:
            move = registry.promote(number, seen, user(), why)
        else:
            _check_alias(alias)
            move = registry.move({alias: number}, seen, user(), why)
        _show_move(terminal, move)


def rollback(place: Place, why: Why = "by hand", set_: Settings = None, json: Json = False) -> None:
    """Roll back to the previous champion, in one atomic move; repeating it undoes it."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        _show_move(terminal, opened(place, set_, PlainWatcher(terminal.err)).rollback(user(), why))


def gc(
    place: Place,
    keep: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of newest versions to keep.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Remove versions that no alias, tick or recent move needs, and the files of failed publications."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.registry.cleaning import clean, plan_cleanup
        from raytl.retraining.ticks import versions_in_use

        registry = opened(place, set_, PlainWatcher(terminal.err))
        plan = plan_cleanup(registry, keep or _keep(place, set_), versions_in_use(registry.store))
        if not dry_run:
            clean(registry, plan)
        terminal.show(*_cleanup(plan, dry_run))
        terminal.result(asdict(plan))


def models_next(registry: str) -> str:
    """Return the command and page that show a registry after a tick."""
    return f"next: {command('raytl', 'models', 'list', registry)}    {registry}/index.html"


def _keep(place: str, overrides: list[str] | None) -> int:
    from raytl.config.retrain import RetrainConfig

    named = place.endswith((".yaml", ".yml"))
    return (load_experiment(Path(place), overrides or []).retrain if named else RetrainConfig()).keep


def _check_alias(alias: str) -> None:
    if alias.isdecimal() or not alias.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"--alias {alias}: expected letters, digits, - and _, and not a number")


def _names(record: Record, state: State) -> list[str]:
    return [alias for alias, number in state.aliases.items() if number == record.number]


def _metrics_of(records: list[Record]) -> tuple[str, ...]:
    """Return the metrics to list: the usual ones, or the first ones of tasks without them."""
    names = dict.fromkeys(name for record in reversed(records) for name in record.about.metrics)
    return tuple(name for name in _USUAL if name in names or not names) or tuple(names)[:_MAX_METRICS]


def _listing(
    registry: Registry, records: list[Record], state: State, moves: Iterable[Move]
) -> Iterable[RenderableType]:
    metrics = _metrics_of(records)
    versions = table(
        ("version", "alias", "published", *map(metric, metrics), "evaluation set", "data", "parent"),
        right_aligned=("version",),
    )
    for record in records:
        about = record.about
        versions.add_row(
            str(record.number),
            Text(", ".join(_names(record, state)), style="green"),
            about.created[:16].replace("T", " "),
            *(_score(name, about.metrics.get(name)) for name in metrics),
            about.evaluation[:8],
            about.snapshot[:8],
            "" if about.parent is None else str(about.parent),
        )
    yield (
        titled(registry.uri, versions)
        if records
        else Text(f"{registry.uri}: no versions yet; publish one with `raytl retrain`")
    )
    if rows := [_move_row(move) for move in moves]:
        history = table(("time", "user", "move", "reason"))
        for row in rows:
            history.add_row(*row)
        yield titled("recent moves", history)


def _other_objects(survey: Survey) -> Iterable[RenderableType]:
    """Show unreadable objects, and those that are not part of a registry."""
    if survey.unread:
        unreadable = table(("unreadable", "reason"))
        for each in survey.unread:
            unreadable.add_row(Text(each.key), Text(each.reason))
        yield unreadable
    if survey.strays:
        more = len(survey.strays) - _MAX_FOREIGN
        names = ", ".join(printable(name) for name in survey.strays[:_MAX_FOREIGN])
        yield Text(f"ignored objects that are not part of a registry: {names}{f' and {more} more' if more > 0 else ''}")


def _move_row(move: Move) -> tuple[str, Text, Text, Text]:
    moved = ", ".join(f"{alias} {_or_none(old)} → {_or_none(new)}" for alias, (old, new) in move.moved.items())
    return move.when[:16].replace("T", " "), Text(move.who), Text(moved), Text(move.why)


def _or_none(number: int | None) -> str:
    return "none" if number is None else str(number)


def _score(name: str, value: float | None) -> str:
    return "–" if value is None else score(name, value)


def _version(
    registry: Registry, record: Record, state: State, trusted: Iterable[tuple[str, str]]
) -> Iterable[RenderableType]:
    about = record.about
    rows = [
        ("version", f"{record.number} {', '.join(_names(record, state))}".strip()),
        ("published", f"{about.created} by {about.who}"),
        ("model", f"{about.model}; classes: {', '.join(about.classes)}"),
        ("weights", f"{about.weights[:16]}, {size(record.size_bytes)} in {plural(len(record.files), 'file')}"),
        ("trained on", f"snapshot {about.snapshot}"),
        ("parent", "none" if about.parent is None else f"version {about.parent}"),
        ("run", about.run),
        ("tick", about.tick),
        ("code", "not in git" if about.git is None else f"{about.git['commit']}{'+' if about.git['dirty'] else ''}"),
        *((metric(name), _score(name, value)) for name, value in about.metrics.items()),
        ("evaluation set", about.evaluation),
        *trusted,
    ]
    yield facts([row for row in rows if row[1]])
    named = f"models:{registry.uri}@{record.number}"
    yield Text(f"next: {command('raytl', 'predict', named, 'PHOTOS', '--out', 'predictions.csv')}")


def _calibration(calibration: Mapping[str, float] | None) -> list[tuple[str, str]]:
    return calibration_facts({f"calibration/{name}": value for name, value in (calibration or {}).items()})


def _difference(differences: Difference) -> Iterable[RenderableType]:
    rows = [
        ("data", "same snapshot" if differences.same_data else "different snapshot"),
        ("new classes", ", ".join(differences.added_classes)),
        ("removed classes", ", ".join(differences.removed_classes)),
        ("size", f"{size(differences.size_bytes[0])} → {size(differences.size_bytes[1])}"),
        *(("recipe", line) for line in differences.recipe),
    ]
    yield facts([row for row in rows if row[1]])
    scores = table(("score", f"version {differences.before}", f"version {differences.after}"))
    for name, pair in differences.metrics.items():
        scores.add_row(metric(name), *(_score(name, value) for value in pair))
    yield scores
    if not differences.same_evaluation:
        yield Text("scored on different evaluation sets: these scores are not comparable", style="yellow")


def _show_move(terminal: Terminal, move: Move) -> None:
    _, who, moved, why = _move_row(move)
    terminal.show(facts([("moved", str(moved) or "nothing: already there"), ("by", str(who)), ("why", str(why))]))
    terminal.result(asdict(move))


def _cleanup(plan: CleanupPlan, dry_run: bool) -> Iterable[RenderableType]:
    versions = table(("version", "kept because"))
    for number, reason in plan.kept.items():
        versions.add_row(str(number), reason)
    yield versions
    verb = "would remove" if dry_run else "removed"
    rows = [
        (verb, ", ".join(map(str, plan.removed)) or "no version"),
        (
            "leftovers",
            f"{plural(len(plan.orphans), 'failed publication')}, {plural(len(plan.leftovers), 'removed version')}",
        ),
        ("freed", f"{size(plan.size_bytes)} in {plural(plan.objects, 'object')}"),
    ]
    yield facts(rows)
