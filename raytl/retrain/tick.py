"""`retrain`: one idempotent tick. What it has done is written into the registry after each step, so a tick that was killed
is gone on with by the next one, and the champion is moved by the very last step or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from raytl.config.override import override
from raytl.config.places import registry_uri, run_uri, winner_uri
from raytl.config.schema import Experiment
from raytl.config.stored import stored_experiment
from raytl.data.manifest import Sample
from raytl.errors import DataError, RaytlError, RunError, TrainingError, Unavailable, WorkersLost, first_line
from raytl.events import Message, OnEvent, ignore, once
from raytl.registry.reader import folder_of
from raytl.registry.record import Record
from raytl.registry.registry import Registry
from raytl.retrain.changes import Changes
from raytl.retrain.compare import EVALUATED, Side, compare
from raytl.retrain.gate import Promote, judge
from raytl.retrain.look import Seen, frozen, glance, look
from raytl.retrain.policy import Known, Search, Skip, decide
from raytl.retrain.publish import MEMORY, published, recorded_samples
from raytl.retrain.recipe import challenger_experiment
from raytl.retrain.split_file import Memory, leaked
from raytl.retrain.ticks import SKIPS, WORK, Outcome, Tick, begun, last_tick, write_tick
from raytl.run.folder import RunFolder
from raytl.run.provenance import user
from raytl.run.run_store import RunStore
from raytl.sanitize import command
from raytl.store.lease import Lease, held
from raytl.store.retry import retried
from raytl.store.s3_settings import S3Settings
from raytl.training.driver import train

_MOST_INTERRUPTIONS = 5
_LATER = (Unavailable, WorkersLost)
"""What may be over by the next tick: it goes on with this one."""
After = Callable[[Registry, Tick], None]


class TickFailed(TrainingError):
    """A tick failed; the champion was not touched."""


@dataclass(frozen=True)
class Retraining:
    """How a call ended: with a `tick`, or, where another one is at work, with who that is (`held`).

    `next_step` is what a dry run would do.
    """

    tick: Tick | None
    champion: int | None
    registry: str
    held: str = ""
    next_step: str = ""


def retrain(
    experiment: Experiment,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
    on_event: OnEvent = ignore,
    after: After | None = None,
) -> Retraining:
    """One tick: look, decide, train if there is reason, compare, promote or keep. With `dry_run`, look and decide only.

    `after` is given every tick that ended other than by skipping, and one that is not over but was stopped by an error, of
    which nothing may be written down.

    Raises:
        ConfigError: `retrain.registry` is not set.
        TickFailed: the tick failed, or was interrupted by what may be over soon; the champion is as it was.
    """
    uri = registry_uri(experiment)
    s3 = S3Settings.of(experiment.storage)
    ticking = _Ticking(experiment, Registry.open(uri, on_event, s3), now or datetime.now(UTC), on_event, after)
    try:
        return ticking.dry() if dry_run else ticking.run()
    except TickFailed:  # and told
        raise
    except RaytlError as exc:
        if not dry_run:
            ticking.stopped(exc)
        if not isinstance(exc, _LATER):
            raise
        raise TickFailed(f"{exc}\n  {ticking.champion_now}; the next tick goes on from here.") from exc


class _Ticking:
    """One call of `retrain`."""

    def __init__(
        self, experiment: Experiment, registry: Registry, now: datetime, on_event: OnEvent, after: After | None
    ) -> None:
        self.experiment, self.registry, self.now = experiment, registry, now
        self.on_event, self.after, self.told = on_event, after, once(on_event)
        self.lease: Lease | None = None
        self.tick: Tick | None = None
        self.moving: int | None = None
        self.ended: Tick | None = None

    @property
    def champion_now(self) -> str:
        """What can be said of the champion if this call ends now."""
        if self.moving is None:
            return "The champion is as it was"
        listing = command("raytl", "models", "list", self.registry.uri)
        return f"Whether version {self.moving} became the champion, `{listing}` says"

    def dry(self) -> Retraining:
        last = last_tick(self.registry.store, self.told)
        if last is not None and not last.over:
            step = f"go on with tick {last.id}, which is at {last.stage!r}"
            return self._ended(last, next_step=step)
        skipped, listing = self._glanced(last)
        if skipped is not None:
            return self._ended(skipped, next_step="skip")
        begun_now = replace(begun(self.now, user(), last), champion=self.registry.state().champion)
        tick, _ = self._decided(begun_now, listing)
        assert tick.decision is not None, "it was just made"
        return self._ended(tick, next_step=type(tick.decision).__name__.lower())

    def run(self) -> Retraining:
        last = last_tick(self.registry.store, self.told)
        if last is None or last.over:
            skipped, _ = self._glanced(last)
            if skipped is not None:
                write_tick(self.registry.store, skipped, SKIPS)
                return self._ended(skipped)
        with ExitStack() as stack:
            stack.callback(self._tell)  # once the lease is given back: a slow webhook keeps nobody out
            try:
                self.lease = stack.enter_context(held(self.registry.store, self.on_event, self._highest_generation))
            except RunError as error:
                return Retraining(None, self.registry.state().champion, self.registry.uri, held=first_line(error))
            self.registry.generation = self.lease.holder.generation
            last = last_tick(self.registry.store, self.told)
            with self._on_record():
                is_open = last is not None and not last.over
                return self._ended(self._gone_on_with(last) if last and is_open else self._begun(last))

    def stopped(self, error: RaytlError) -> None:
        """Tell of an error that ended this call before the tick was over."""
        tick = self.tick or begun(self.now, user(), None)
        stage = "published" if tick.over else tick.stage  # its end could not be written
        self._told(replace(tick, stage=stage, outcome="failure", error=first_line(error)))
        self._tell()

    def _glanced(self, last: Tick | None) -> tuple[Tick | None, str]:
        """The tick of data that is as it was, where its changes are no reason to train; and the listing."""
        listing = glance(self.experiment.data, S3Settings.of(self.experiment.storage))
        if last is None or last.changes is None or not listing or listing != last.listing:
            return None, listing
        tick = replace(begun(self.now, user(), last), champion=self.registry.state().champion)
        changes = last.changes
        if changes.since != last.trained:  # it was trained on since
            tick = replace(tick, changes=(changes := Changes(changes.snapshot, last.trained)))
        elif tick.champion != last.champion:
            return None, listing
        decision = decide(self._known(tick), changes, self.now, self.experiment.retrain)
        return (self._skipped(tick, decision) if isinstance(decision, Skip) else None), listing

    @contextmanager
    def _on_record(self) -> Iterator[None]:
        """Inside, what goes wrong for good is written down as the end of the tick, and told, as far as that is possible."""
        try:
            yield
        except _LATER:
            raise
        except Exception as error:
            if self.tick is None:  # it had not begun
                raise
            ended = self.now.astimezone(UTC).isoformat(timespec="seconds")
            tick = replace(
                self.tick,
                stage="failed",
                outcome="failure",
                ended=ended,
                error=first_line(error),
                listing="",
                generation=self.registry.generation,
            )
            with suppress(RaytlError):
                self._at(tick)
            self._told(tick)
            if not isinstance(error, RaytlError):  # whoever called shows where that was
                raise
            raise TickFailed(f"{error}\n  {self.champion_now} (tick {tick.id}).") from error

    def _begun(self, last: Tick | None) -> Tick:
        self.tick = replace(begun(self.now, user(), last), champion=self.registry.state().champion)
        tick, seen = self._decided(self.tick, glance(self.experiment.data, S3Settings.of(self.experiment.storage)))
        if isinstance(tick.decision, Skip):
            tick = self._at(self._skipped(tick, tick.decision))
            if tick.outcome == "attention":
                self._told(tick)
            return tick
        self._freeze(tick, seen)
        return self._carried_out(self._at(tick))

    def _gone_on_with(self, tick: Tick) -> Tick:
        self.on_event(Message(f"going on with tick {tick.id}, which was interrupted after {tick.stage!r}"))
        tick = self._at(replace(tick, interruptions=tick.interruptions + 1))
        if tick.interruptions > _MOST_INTERRUPTIONS:
            raise TrainingError(f"tick {tick.id} was interrupted {tick.interruptions} times; it is given up")
        return self._carried_out(tick)

    def _decided(self, tick: Tick, listing: str) -> tuple[Tick, Seen]:
        """The tick with what changed and what to do about it."""
        trained, champion = self._record(tick.trained), self._record(tick.champion)
        seen = look(self.experiment, self.registry, trained, champion, self.on_event)
        decision = decide(self._known(tick), seen.changes, self.now, self.experiment.retrain)
        return replace(tick, listing=listing, changes=seen.changes, decision=decision), seen

    def _known(self, tick: Tick) -> Known:
        trained_at = datetime.fromisoformat(tick.trained_at) if tick.trained_at else None
        return Known(tick.champion, trained_at, tick.since_search)

    def _skipped(self, tick: Tick, decision: Skip) -> Tick:
        outcome: Outcome = "attention" if decision.attention else "skip"
        return replace(tick, decision=decision, stage="done", outcome=outcome, ended=self._clock())

    def _freeze(self, tick: Tick, seen: Seen) -> None:
        """Write down which image is on which side in this tick, and what is to be remembered of all."""
        if not seen.apply_splits.side("test"):
            raise DataError(
                f"{self.experiment.data.uri}: no image is held out for evaluation, so no challenger could be compared; set "
                "data.test_fraction above 0, or bring a test split"
            )
        rows = [{"key": sample.key, "split": sample.split} for sample in seen.apply_splits.samples]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        for name, value in (("sides.jsonl", content), (MEMORY, seen.apply_splits.memory.encoded())):
            self._put(name, tick, value)

    def _carried_out(self, tick: Tick) -> Tick:
        """Whatever is left of the tick."""
        if tick.stage == "decided":
            tick = self._trained(tick)
        if tick.stage == "trained":
            tick = self._compared(tick)
        if tick.stage == "compared":
            tick = self._published(tick)
        return self._moved(tick)

    def _trained(self, tick: Tick) -> Tick:
        experiment = self._experiment(tick)
        if isinstance(tick.decision, Search):
            from raytl.search.driver import tune  # Ray Tune and Optuna take their time to import

            run = tune(experiment, on_event=self.on_event).run
        else:
            run = train(experiment, on_event=self.on_event).run
        return self._at(replace(tick, stage="trained", run=run))

    def _compared(self, tick: Tick) -> Tick:
        experiment, run_store = self._experiment(tick), self._run(tick)
        evaluated = tuple(s for s in frozen(experiment, self.on_event) if s.split == "test")
        champion = self._record(tick.champion)
        folder = None if champion is None else folder_of(self.registry, champion)
        contest, rows = compare(
            self.experiment,
            evaluated,
            None
            if folder is None
            else Side(folder / "checkpoints" / "best", f"models:{self.registry.uri}@{tick.champion}"),
            Side(run_store.folder.best, run_store.uri),
            {sample.digest for sample in recorded_samples(folder)} if folder else (),
            run_store.folder.root / ".ray",
            self.on_event,
        )
        found = replace(
            contest,
            looks=tick.looks + 1,
            champion=tick.champion,
            leaked=self._leaked(tick, run_store.folder, evaluated),
        )
        self._put(EVALUATED, tick, rows.encoded())
        verdict = judge(found, self.experiment.retrain.gate)
        return self._at(
            replace(
                tick, stage="compared", evaluation=found.evaluation, contest=found, verdict=verdict, looks=found.looks
            )
        )

    def _leaked(self, tick: Tick, run: RunFolder, evaluated: tuple[Sample, ...]) -> tuple[str, ...]:
        trained = (sample.digest for sample in recorded_samples(run.root) if sample.split != "test")
        return leaked(trained, evaluated, self._memory(tick).hashes)

    def _published(self, tick: Tick) -> Tick:
        assert tick.contest is not None, "it was compared"
        run = self._run(tick).folder
        record = published(self.registry, tick, tick.contest, run, self._memory(tick), self.experiment, self.on_event)
        searched = isinstance(tick.decision, Search)
        return self._at(
            replace(
                tick,
                stage="published",
                version=record.number,
                contest=replace(tick.contest, challenger=record.number),
                trained=record.number,
                trained_at=record.about.created,
                since_search=0 if searched else tick.since_search + 1,
            )
        )

    def _moved(self, tick: Tick) -> Tick:
        """The last step: the alias, where the challenger won."""
        assert tick.verdict is not None and tick.version is not None, "it was published"
        champion = tick.champion
        if isinstance(tick.verdict, Promote):
            seen = self.registry.state()
            if seen.champion not in (champion, tick.version):
                raise RunError(
                    f"{self.registry.uri}: the champion is version {seen.champion} by now, and version {tick.version} was "
                    f"compared with version {champion}; nothing was moved: the next tick compares anew"
                )
            if seen.champion != tick.version:
                self._check_lease()
                self.moving = tick.version
                self.registry.promote(tick.version, seen, user(), tick.verdict.reasons[0], tick.started)
            champion = tick.version
        outcome: Outcome = type(tick.verdict).__name__.lower()  # type: ignore[assignment]
        tick = self._at(replace(tick, stage="done", outcome=outcome, ended=self._clock()))
        self._told(tick)
        return replace(tick, champion=champion)

    def _told(self, tick: Tick) -> None:
        """Have `after` called with the tick when the lease is given back."""
        self.ended = tick

    def _tell(self) -> None:
        ended, self.ended = self.ended, None
        if self.after is not None and ended is not None:
            self.after(self.registry, ended)

    def _experiment(self, tick: Tick) -> Experiment:
        """What trains the tick's challenger."""
        assert tick.decision is not None and not isinstance(tick.decision, Skip) and tick.changes is not None, "decided"
        champion, start = self._record(tick.champion), tick.decision.start
        made = challenger_experiment(
            self.experiment,
            None
            if champion is None
            else stored_experiment(folder_of(self.registry, champion) / "experiment.yaml").recipe,
            name=self._name(tick),
            start=None if start is None else f"models:{self.registry.uri}@{start}",
            split_file=f"{self.registry.uri}/{WORK}{tick.id}/sides.jsonl",
            snapshot=tick.changes.snapshot,
            turn=tick.trained or 0,
        )
        trials = tick.decision.trials if isinstance(tick.decision, Search) else made.search.trials
        return override(made, {"search.trials": trials})

    def _run(self, tick: Tick) -> RunStore:
        """The challenger's run, where this experiment puts it: `tick.run` comes from the registry, and is shown only."""
        named = override(self.experiment, {"name": self._name(tick)})
        uri = winner_uri(named) if isinstance(tick.decision, Search) else run_uri(named)
        return RunStore.open(uri, S3Settings.of(named.storage))

    def _name(self, tick: Tick) -> str:
        return f"{self.experiment.name}-{tick.id.lower()}"

    def _memory(self, tick: Tick) -> Memory:
        key = f"{WORK}{tick.id}/{MEMORY}"
        return Memory.decoded(retried(lambda: self.registry.store.get_bytes(key)), f"{self.registry.uri}/{key}")

    def _record(self, number: int | None) -> Record | None:
        return None if number is None else self.registry.record(number)

    def _at(self, tick: Tick) -> Tick:
        """The tick, once it is written down as it is now."""
        self.tick = tick = replace(tick, generation=self.registry.generation)
        self._check_lease()
        write_tick(self.registry.store, tick)
        return tick

    def _put(self, name: str, tick: Tick, content: bytes) -> None:
        self._check_lease()
        retried(lambda: self.registry.store.put_bytes(f"{WORK}{tick.id}/{name}", content))

    def _check_lease(self) -> None:
        if self.lease is not None:
            self.lease.check()

    def _highest_generation(self) -> int:
        last = last_tick(self.registry.store)
        return max(self.registry.state().generation, last.generation if last else 0)

    def _clock(self) -> str:
        return self.now.astimezone(UTC).isoformat(timespec="seconds")

    def _ended(self, tick: Tick, next_step: str = "") -> Retraining:
        return Retraining(tick, tick.champion, self.registry.uri, next_step=next_step)
