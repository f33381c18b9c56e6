"""The state that the steps of one tick share: the experiment, the registry, the lease, and the tick as last recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from raytl.config.schema import Experiment
from raytl.events import Message, OnEvent, once
from raytl.feedback.monitor import Alarm, current_alarm
from raytl.registry.record import Record
from raytl.registry.registry import Registry
from raytl.retraining.policy import TrainingHistory
from raytl.retraining.publish import MEMORY
from raytl.retraining.splits import Memory
from raytl.retraining.ticks import WORK, Tick, last_tick, new_tick, write_tick
from raytl.run.provenance import user
from raytl.sanitize import command
from raytl.store.lease import Lease
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import S3Settings

AfterTick = Callable[[Registry, Tick], None]
MAX_CLOCK_ERROR = timedelta(days=1)
"""A last training that is further in the future has a wrong time."""


@dataclass
class TickContext:
    """The state of one `retrain` call. `tick` is the record as last written, or to be written until it `is_recorded`; `promoting`
    the version that an alias is being moved to, and `reported` the tick that `after` is called with once the lease is released."""

    experiment: Experiment
    registry: Registry
    now: datetime
    on_event: OnEvent
    lease: Lease | None = None
    tick: Tick | None = None
    is_recorded: bool = False
    promoting: int | None = None
    reported: Tick | None = None
    warn_once: OnEvent = field(init=False)

    def __post_init__(self) -> None:
        self.warn_once = once(self.on_event)

    @property
    def timestamp(self) -> str:
        """`now` in UTC, as records have it."""
        return self.now.astimezone(UTC).isoformat(timespec="seconds")

    @property
    def champion_status(self) -> str:
        """A sentence on the champion, if this call ends now."""
        if self.promoting is None:
            return "The champion is unchanged"
        listing = command("raytl", "models", "list", self.registry.uri)
        return f"Version {self.promoting} may already be the champion; check with `{listing}`"

    def last_tick(self) -> Tick | None:
        """Return the newest tick that can be read; each unreadable one is warned about once."""
        return last_tick(self.registry.store, self.warn_once)

    def next_tick(self, last: Tick | None) -> Tick:
        """Return a new tick that follows `last`."""
        return replace(new_tick(self.now, user(), last), champion=self.registry.state().champion)

    @cached_property
    def alarm(self) -> Alarm | None:
        """The alarm of the monitor of retrain.feedback, if retrain.when.or_alarm asks for it."""
        retrain = self.experiment.retrain
        if retrain.feedback is None or not retrain.when.or_alarm:
            return None
        return current_alarm(open_store(retrain.feedback, S3Settings.of(self.experiment.storage)), self.warn_once)

    def history(self, tick: Tick) -> TrainingHistory:
        """Return what the policy has to know of earlier trainings; a warning says if the time of the last one is wrong."""
        trained_at = datetime.fromisoformat(tick.trained_at) if tick.trained_at else None
        is_misdated = trained_at is not None and trained_at - self.now > MAX_CLOCK_ERROR
        if is_misdated:
            self.warn_once(
                Message(
                    f"{self.registry.uri}: version {tick.trained} was trained at {tick.trained_at}, but it is {self.timestamp}: one "
                    "of the clocks is wrong, or the tick ran with --now. It counts as trained long ago; check the clock",
                    "warning",
                )
            )
        return TrainingHistory(tick.champion, trained_at, tick.since_search, self.alarm, is_misdated)

    def record(self, number: int | None) -> Record | None:
        """Return the record of a version, if there is a number."""
        return None if number is None else self.registry.record(number)

    def memory(self, tick: Tick) -> Memory:
        """Return the splits and hashes that the tick froze."""
        key = f"{WORK}{tick.id}/{MEMORY}"
        return Memory.decoded(retried(lambda: self.registry.store.get_bytes(key)), f"{self.registry.uri}/{key}")

    def save(self, tick: Tick) -> Tick:
        """Write the tick's record and return the tick as written."""
        self.tick = tick = replace(tick, generation=self.registry.generation)
        self.check_lease()
        write_tick(self.registry.store, tick)
        self.is_recorded = True
        return tick

    def put(self, name: str, tick: Tick, content: bytes) -> None:
        """Write a work file of the tick."""
        self.check_lease()
        retried(lambda: self.registry.store.put_bytes(f"{WORK}{tick.id}/{name}", content))

    def check_lease(self) -> None:
        """Return if this process may still write.

        Raises:
            RunError: the lease was lost.
        """
        if self.lease is not None:
            self.lease.check()

    def highest_generation(self) -> int:
        """Return the highest generation that a lease of this registry has had."""
        last = last_tick(self.registry.store)
        return max(self.registry.state().generation, last.generation if last else 0)
