"""`raytl models`: the published versions of a model, which of them is in use, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import metric, plural, score, size
from raytl.cli.options import Json, Settings, s3_settings
from raytl.cli.progress import PlainWatcher
from raytl.cli.tables import facts, table, titled
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
    from raytl.registry.cleaning import Cleaning
    from raytl.registry.difference import Difference

Place = Annotated[
    str,
    typer.Argument(
        metavar="REGISTRY",
        help="A folder or s3:// prefix, a name below RAYTL_REGISTRY, or an experiment file that names one.",
        show_default=False,
    ),
]
Which = Annotated[str, typer.Argument(metavar="VERSION", help="A number or an alias.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, which stays in the history.")]
_MOVES = 12
_MOST_STRAYS = 10
_SHOWN = ("balanced_accuracy", "accuracy", "log_loss")


def opened(place: str, overrides: list[str] | None, on_event: OnEvent = ignore) -> Registry:
    """Open the registry that `place` names; `overrides` say how this machine reaches it."""
    if not place.endswith((".yaml", ".yml")):
        return Registry.open(registry_uri(place), on_event, s3_settings(overrides))
    experiment = load_experiment(Path(place), overrides or [])
    if experiment.retrain.registry is None:
        raise ConfigError(
            f"{place}: retrain.registry is not set; name the folder or s3:// prefix of the versions there"
        )
    return Registry.open(experiment.retrain.registry, on_event, S3Settings.of(experiment.storage))


def list_(place: Place, set_: Settings = None, json: Json = False) -> None:
    """List the versions and the last moves of aliases."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        registry = opened(place, set_, PlainWatcher(terminal.err))
        found, state = registry.survey(), registry.state()
        terminal.show(*_listing(registry, found.records, state, found.history[-_MOVES:]), *_beside(found))
        terminal.result(
            {
                "registry": registry.uri,
                "aliases": state.aliases,
                "versions": [record.to_json() for record in found.records],
                "history": [asdict(move) for move in found.history],
                "unreadable": [asdict(each) for each in found.unread],
                "ignored": found.strays,
            }
        )


def show(place: Place, version: Which = CHAMPION, set_: Settings = None, json: Json = False) -> None:
    """Show a version: what it is, what it was trained on, and its scores."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        registry = opened(place, set_, PlainWatcher(terminal.err))
        state = registry.state()
        record = registry.record(registry.resolve(version, state))
        terminal.show(*_version(registry, record, state))
        terminal.result({**record.to_json(), "aliases": _names(record, state)})


def diff(
    place: Place,
    before: Annotated[str, typer.Argument(metavar="A", help="A number or an alias.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="A number or an alias.", show_default=False)],
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Show what differs from version A to version B: recipe, data, classes, scores."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.registry.difference import difference

        registry = opened(place, set_, PlainWatcher(terminal.err))
        state = registry.state()
        records = [registry.record(registry.resolve(which, state)) for which in (before, after)]
        found = difference(registry, *records)
        terminal.show(*_difference(found))
        terminal.result(asdict(found))


def promote(
    place: Place,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number or an alias.", show_default=False)],
    alias: Annotated[str, typer.Option(metavar="NAME", help="The alias that is to name it.")] = CHAMPION,
    why: Why = "by hand",
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Make a version the champion, or have another alias name it; the champion before it becomes the previous one."""
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
        _told(terminal, move)


def rollback(place: Place, why: Why = "by hand", set_: Settings = None, json: Json = False) -> None:
    """Go back to the previous champion, in one move; the same again undoes it."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        _told(terminal, opened(place, set_, PlainWatcher(terminal.err)).rollback(user(), why))


def gc(
    place: Place,
    keep: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest versions that stay.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Remove the versions that no alias, no tick and none of the last moves needs, and what broken publications left."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.registry.cleaning import clean, planned
        from raytl.retrain.ticks import needed

        registry = opened(place, set_, PlainWatcher(terminal.err))
        found = planned(registry, keep or _kept_by(place), needed(registry.store))
        if not dry_run:
            clean(registry, found)
        terminal.show(*_cleaning(found, dry_run))
        terminal.result(asdict(found))


def models_next(registry: str) -> str:
    """What to do with a registry after a tick."""
    return f"see: {command('raytl', 'models', 'list', registry)}    {registry}/index.html"


def _kept_by(place: str) -> int:
    from raytl.config.retrain import RetrainConfig

    named = place.endswith((".yaml", ".yml"))
    return (load_experiment(Path(place)).retrain if named else RetrainConfig()).keep


def _check_alias(alias: str) -> None:
    if alias.isdecimal() or not alias.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"--alias {alias}: expected a word of letters, digits, - and _, that is no number")


def _names(record: Record, state: State) -> list[str]:
    return [alias for alias, number in state.aliases.items() if number == record.number]


def _listing(
    registry: Registry, records: list[Record], state: State, moves: Iterable[Move]
) -> Iterable[RenderableType]:
    made = table(("version", "", "published", *map(metric, _SHOWN), "evaluated on", "data", "from"), right=("version",))
    for record in records:
        about = record.about
        made.add_row(
            str(record.number),
            Text(", ".join(_names(record, state)), style="green"),
            about.created[:16].replace("T", " "),
            *(_score(name, about.metrics.get(name)) for name in _SHOWN),
            about.evaluation[:8],
            about.snapshot[:8],
            "" if about.parent is None else str(about.parent),
        )
    yield (
        titled(registry.uri, made) if records else Text(f"{registry.uri}: no versions yet; `raytl retrain` makes them")
    )
    if told := [_move_row(move) for move in moves]:
        history = table(("when", "who", "moved", "why"))
        for row in told:
            history.add_row(*row)
        yield titled("the last moves", history)


def _beside(found: Survey) -> Iterable[RenderableType]:
    """Show the objects that cannot be read, and those that are no part of a registry."""
    if found.unread:
        made = table(("unreadable", "reason"))
        for each in found.unread:
            made.add_row(Text(each.key), Text(each.reason))
        yield made
    if found.strays:
        more = len(found.strays) - _MOST_STRAYS
        names = ", ".join(printable(name) for name in found.strays[:_MOST_STRAYS])
        yield Text(f"ignored, as no part of a registry: {names}{f' and {more} more' if more > 0 else ''}")


def _move_row(move: Move) -> tuple[str, Text, Text, Text]:
    moved = ", ".join(f"{alias} {_or_none(old)} → {_or_none(new)}" for alias, (old, new) in move.moved.items())
    return move.when[:16].replace("T", " "), Text(move.who), Text(moved), Text(move.why)


def _or_none(number: int | None) -> str:
    return "none" if number is None else str(number)


def _score(name: str, value: float | None) -> str:
    return "–" if value is None else score(name, value)


def _version(registry: Registry, record: Record, state: State) -> Iterable[RenderableType]:
    about = record.about
    rows = [
        ("version", f"{record.number} {', '.join(_names(record, state))}".strip()),
        ("published", f"{about.created} by {about.who}"),
        ("model", f"{about.model}; classes: {', '.join(about.classes)}"),
        ("weights", f"{about.weights[:16]}, {size(record.size_bytes)} with its {plural(len(record.files), 'file')}"),
        ("trained on", f"snapshot {about.snapshot}"),
        ("from", "its own start" if about.parent is None else f"version {about.parent}"),
        ("run", about.run),
        ("tick", about.tick),
        ("code", "not from git" if about.git is None else f"{about.git['commit']}{'+' if about.git['dirty'] else ''}"),
        *((metric(name), _score(name, value)) for name, value in about.metrics.items()),
        ("evaluated on", about.evaluation),
    ]
    yield facts([row for row in rows if row[1]])
    named = f"models:{registry.uri}@{record.number}"
    yield Text(f"use it: {command('raytl', 'predict', named, 'PHOTOS', '--out', 'predictions.csv')}")


def _difference(found: Difference) -> Iterable[RenderableType]:
    rows = [
        ("data", "the same" if found.same_data else "another snapshot"),
        ("new classes", ", ".join(found.added_classes)),
        ("without", ", ".join(found.removed_classes)),
        ("size", f"{size(found.size_bytes[0])} → {size(found.size_bytes[1])}"),
        *(("recipe", line) for line in found.recipe),
    ]
    yield facts([row for row in rows if row[1]])
    made = table(("score", f"version {found.before}", f"version {found.after}"))
    for name, pair in found.metrics.items():
        made.add_row(metric(name), *(_score(name, value) for value in pair))
    yield made
    if not found.same_evaluation:
        yield Text("scored on different evaluation sets: these scores are not to be compared", style="yellow")


def _told(terminal: Terminal, move: Move) -> None:
    _, who, moved, why = _move_row(move)
    terminal.show(facts([("moved", str(moved) or "nothing: it was so already"), ("by", str(who)), ("why", str(why))]))
    terminal.result(asdict(move))


def _cleaning(found: Cleaning, dry_run: bool) -> Iterable[RenderableType]:
    made = table(("version", "stays, as it"))
    for number, reason in found.kept.items():
        made.add_row(str(number), reason)
    yield made
    verb = "would go" if dry_run else "removed"
    rows = [
        (verb, ", ".join(map(str, found.removed)) or "no version"),
        ("leftovers", plural(len(found.orphans), "broken publication")),
        ("freed", f"{size(found.size_bytes)} in {plural(found.objects, 'object')}"),
    ]
    yield facts(rows)
