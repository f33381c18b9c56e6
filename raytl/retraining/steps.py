"""The steps of a tick that trains, by the stage that each starts from; each returns the tick as recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from raytl.config.override import override
from raytl.config.places import run_uri, winner_uri
from raytl.config.schema import Experiment
from raytl.config.stored import stored_experiment
from raytl.data.manifest import Sample
from raytl.events import Message
from raytl.registry.reader import folder_of
from raytl.registry.record import CHAMPION, State
from raytl.retraining.compare import EVALUATED, SavedModel, compare
from raytl.retraining.context import TickContext
from raytl.retraining.exporting import export_challenger
from raytl.retraining.gate import Promote, Reject, judge
from raytl.retraining.observe import frozen_samples
from raytl.retraining.policy import Search, Skip
from raytl.retraining.publish import publish_version, recorded_samples
from raytl.retraining.recipe import challenger_experiment
from raytl.retraining.splits import leaked
from raytl.retraining.start import SPLIT_FILE
from raytl.retraining.ticks import WORK, Outcome, Stage, Tick
from raytl.run.folder import RunFolder
from raytl.run.provenance import user
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings
from raytl.training.driver import train
from raytl.uris import is_remote, local_path


def train_challenger(context: TickContext, tick: Tick) -> Tick:
    """Train the challenger, or search for it."""
    experiment = _challenger(context, tick)
    if isinstance(tick.decision, Search):
        from raytl.search.driver import tune  # Ray Tune and Optuna are slow to import

        run = tune(with_earlier_sweeps(experiment), on_event=context.on_event).run
    else:
        run = train(experiment, on_event=context.on_event).run
    return context.save(replace(tick, stage="trained", run=run))


def with_earlier_sweeps(experiment: Experiment) -> Experiment:
    """Return the experiment of a search, which starts from the earlier sweeps beside it unless `search.prior` is set."""
    uri = experiment.storage.uri
    if experiment.search.prior is not None or not (is_remote(uri) or local_path(uri).is_dir()):
        return experiment
    return override(experiment, {"search.prior": uri})


def compare_with_champion(context: TickContext, tick: Tick) -> Tick:
    """Score champion and challenger on the frozen test images and judge."""
    samples = frozen_samples(_challenger(context, tick), context.on_event)
    evaluated = tuple(sample for sample in samples if sample.split == "test")
    run = _run(context, tick)
    champion = context.record(tick.champion)
    folder = None if champion is None else folder_of(context.registry, champion)
    comparison, predictions = compare(
        context.experiment,
        evaluated,
        None if folder is None else SavedModel(folder / "checkpoints" / "best", _version_uri(context, tick.champion)),
        SavedModel(run.folder.best, run.uri),
        {sample.digest for sample in recorded_samples(folder)} if folder else (),
        run.folder.root / ".ray",
        context.on_event,
    )
    comparison = replace(
        comparison,
        looks=tick.looks + 1,
        champion=tick.champion,
        leaked=_leaked(context, tick, run.folder, evaluated),
    )
    context.put(EVALUATED, tick, predictions.encoded())
    return context.save(
        replace(
            tick,
            stage="compared",
            evaluation=comparison.evaluation,
            comparison=comparison,
            verdict=judge(comparison, context.experiment.retrain.gate),
            looks=comparison.looks,
        )
    )


def publish_challenger(context: TickContext, tick: Tick) -> Tick:
    """Publish the challenger as a version, with its bundle; one whose bundle fails is rejected.

    A challenger that is published already was compared again, as the champion had been moved.
    """
    assert tick.comparison is not None and tick.verdict is not None, "it was compared"
    if tick.version is not None:
        comparison = replace(tick.comparison, challenger=tick.version)
        return context.save(replace(tick, stage="published", comparison=comparison))
    run, memory = _run(context, tick), context.memory(tick)
    refused = export_challenger(context.experiment, run, context.on_event)
    record = publish_version(
        context.registry, tick, tick.comparison, run.folder, memory, context.experiment, context.on_event
    )
    return context.save(
        replace(
            tick,
            stage="published",
            version=record.number,
            verdict=Reject((refused,), tick.verdict.worse) if refused else tick.verdict,
            comparison=replace(tick.comparison, challenger=record.number),
            trained=record.number,
            trained_at=record.about.created,
            since_search=0 if isinstance(tick.decision, Search) else tick.since_search + 1,
        )
    )


def apply_verdict(context: TickContext, tick: Tick) -> Tick:
    """Move the champion alias if the challenger won, and end the tick.

    A challenger that this tick promoted before it was interrupted, and that somebody replaced since, is not promoted again. If
    the champion is another one than in the comparison, the tick returns to the comparison.
    """
    version, verdict = tick.version, tick.verdict
    assert verdict is not None and version is not None, "it was published"
    if isinstance(verdict, Promote) and (state := context.registry.state()).champion != version:
        if (replaced := _replaced(context, version, state)) is not None:
            tick = replace(tick, champion=state.champion, verdict=replaced)
        elif state.champion != tick.champion:
            moved = f"The champion is now version {state.champion}, not {tick.champion}"
            context.on_event(Message(f"{moved}; comparing version {version} with it", "warning"))
            return context.save(replace(tick, stage="trained", champion=state.champion))
        else:
            context.check_lease()
            context.promoting = version
            context.registry.promote(version, state, user(), verdict.reasons[0], tick.started)
    outcome: Outcome = type(tick.verdict).__name__.lower()  # type: ignore[assignment]
    tick = context.save(replace(tick, stage="done", outcome=outcome, ended=context.timestamp))
    context.reported = tick
    return tick


STEPS: Mapping[Stage, Callable[[TickContext, Tick], Tick]] = {
    "decided": train_challenger,
    "trained": compare_with_champion,
    "compared": publish_challenger,
    "published": apply_verdict,
}


def _replaced(context: TickContext, version: int, state: State) -> Reject | None:
    """Return the rejection of a version that was the champion before and no longer is; None if it never was."""
    moves = [move for move in context.registry.history() if CHAMPION in move.moved]
    if all(move.moved[CHAMPION][1] != version for move in moves):
        return None
    last = moves[-1]
    why = f": {last.why}" if last.why else ""
    return Reject(
        (f"version {version} was promoted, and {last.who} moved the champion to {state.champion} since{why}",)
    )


def _leaked(context: TickContext, tick: Tick, run: RunFolder, evaluated: tuple[Sample, ...]) -> tuple[str, ...]:
    trained = (sample.digest for sample in recorded_samples(run.root) if sample.split != "test")
    return leaked(trained, evaluated, context.memory(tick).hashes)


def _challenger(context: TickContext, tick: Tick) -> Experiment:
    """Return the experiment that trains the tick's challenger."""
    assert tick.decision is not None and not isinstance(tick.decision, Skip) and tick.changes is not None, "decided"
    start, champion = tick.decision.start, context.record(tick.champion)
    folder = None if champion is None else folder_of(context.registry, champion)
    challenger = challenger_experiment(
        context.experiment,
        None if folder is None else stored_experiment(folder / "experiment.yaml").recipe,
        name=_name(context, tick),
        start=None if start is None else _version_uri(context, start),
        split_file=f"{context.registry.uri}/{WORK}{tick.id}/{SPLIT_FILE}",
        snapshot=tick.changes.snapshot,
        turn=tick.trained or 0,
    )
    trials = tick.decision.trials if isinstance(tick.decision, Search) else challenger.search.trials
    return override(challenger, {"search.trials": trials})


def _run(context: TickContext, tick: Tick) -> RunStore:
    """Return the challenger's run, where this experiment puts it: `tick.run` comes from the registry and is only displayed."""
    named = override(context.experiment, {"name": _name(context, tick)})
    uri = winner_uri(named) if isinstance(tick.decision, Search) else run_uri(named)
    return RunStore.open(uri, S3Settings.of(named.storage))


def _version_uri(context: TickContext, number: int | None) -> str:
    return f"models:{context.registry.uri}@{number}"


def _name(context: TickContext, tick: Tick) -> str:
    return f"{context.experiment.name}-{tick.id.lower()}"
