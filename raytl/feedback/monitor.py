"""Compare the stream of answers with the bundle's reference, by a test that may be looked at any time.

The state is one small object of the feedback prefix for each server, from which a restarted server goes on.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from raytl.bundle.card import BundleCard
from raytl.data.pixel_properties import of_pixels
from raytl.errors import DataError, ModelError, NotFound, RaytlError
from raytl.events import Message, OnEvent, ignore
from raytl.feedback.layout import MONITOR, is_state
from raytl.feedback.reference import (
    MAX_ROWS,
    MONITOR_JSON,
    PIXELS,
    REFERENCE_FORMAT,
    MonitorReference,
    Numbers,
    Statistics,
    encoded_rows,
    is_table,
    row_of,
    rows_of,
)
from raytl.metrics.anytime import BETS, Stream, Wealth
from raytl.metrics.unfamiliar import knn_distance
from raytl.store.contract import ObjectStore
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import Bound, Count, Moment, Name, at_least, at_most, within

ALPHA = 0.05
"""The chance of an alarm over the whole life of a version without a change."""
MAX_SERVERS = 100
"""Servers for which the time is remembered at which the evidence of one was enough."""
_LINGER_S = 86400.0
"""The time that a server counts as in use after it stored its state, which it does at the end of each window."""
Distance = Callable[[NDArray[Any]], float]
_Money = Annotated[float, within(0, 1e101)]


@dataclass(frozen=True, slots=True)
class MonitorState:
    """The state of the monitor of one server for the model `version`, after `images`.

    `bets` are the wealth of each bet of each statistic, `retained` the rows it compares with. `alarm_at` is empty while the peak of the
    evidence is below 1 / `ALPHA`. `reached_at` has the times at which the peak reached 1, 2, 3, ... times that, and `began` the
    time from which the monitor was in use; both are empty in states of before.
    """

    format: Literal[1]
    version: Name
    weights: Name
    statistics: Statistics
    images: Count
    bets: Annotated[tuple[_Money, ...], at_least(1, "bet"), at_most(20 * BETS, "bets")]
    retained: Numbers
    peak: _Money
    peak_at: Count
    updated: Moment
    alarm_at: Moment | Literal[""] = ""
    reached_at: Annotated[tuple[Moment, ...], at_most(MAX_SERVERS, "times")] = ()
    began: Moment | Literal[""] = ""

    @property
    def times_reached(self) -> tuple[str, ...]:
        """The times at which the peak reached 1 / `ALPHA` times 1, 2, 3, ...; all at `alarm_at` in states of before."""
        count = min(MAX_SERVERS, int(self.peak * ALPHA))
        return (self.reached_at or (self.alarm_at,) * count)[:count] if self.alarm_at else ()

    @property
    def lifetime_s(self) -> tuple[float, float]:
        """The seconds since 1970 between which the server may have been in use."""
        return _seconds(self.began) if self.began else -math.inf, _seconds(self.updated) + _LINGER_S

    @property
    def stream(self) -> Stream:
        """The test in this state."""
        wealth = Wealth(self.images, np.array(self.bets).reshape(-1, BETS))
        retained = rows_of(self.retained, len(self.statistics)).astype(np.float64)
        return Stream(retained, wealth, self.peak, self.peak_at)


def _is_whole(state: MonitorState) -> bool:
    columns = len(state.statistics)
    return len(state.bets) == columns * BETS and is_table(state.retained, columns)


STATE_FORMAT = Format[MonitorState](
    Annotated[MonitorState, Bound("bets and rows for each statistic", _is_whole)],
    "the state of a monitor",
    "The object was damaged or edited: delete it.",
    DataError,
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """The alarm of the monitors of all servers: the evidence reached `needed` first `at` this time, in these `statistics`, and
    `evidence` at its peak."""

    version: str
    at: datetime
    evidence: float
    needed: float
    images: int
    statistics: tuple[str, ...]


class Monitor:
    """The test of one model version on one server. Safe to use from several threads."""

    def __init__(
        self, reference: MonitorReference, version: str, distance: Distance | None = None, seed: int | None = None
    ) -> None:
        self.version, self.reference = version, reference
        self._distance, self._rng = distance, np.random.default_rng(seed)
        self._changing = threading.Lock()
        self._stream, self._began = Stream.start(reference.table), _timestamp()
        self._reached_at: tuple[str, ...] = ()

    def add(self, confidence: float, features: NDArray[Any] | None, pixels: Mapping[str, float]) -> None:
        """Consider the answer to one image; one without all the statistics of the reference is left out."""
        values = {"confidence": confidence, **pixels}
        if self._distance is not None and features is not None:
            values["distance"] = self._distance(features)
        row = row_of(self.reference.statistics, values)
        if row is None:
            return
        with self._changing:
            self._stream = self._stream.after(row, self._rng, MAX_ROWS)
            more = min(MAX_SERVERS, int(self._stream.peak * ALPHA)) - len(self._reached_at)
            if more > 0:
                self._reached_at += (_timestamp(),) * more

    @property
    def is_alarm(self) -> bool:
        """True once the stream contradicted the reference."""
        return bool(self._reached_at)

    def gauges(self) -> dict[str, float]:
        """Return what Prometheus shows, by name: images, evidence, its peak, alarm, and the evidence of each statistic."""
        with self._changing:
            stream = self._stream
        single = zip(self.reference.statistics, stream.wealth.by_statistic.tolist(), strict=True)
        return {
            "raytl_monitor_images": stream.wealth.images,
            "raytl_monitor_evidence": stream.wealth.value,
            "raytl_monitor_evidence_peak": stream.peak,
            "raytl_monitor_alarm": float(self.is_alarm),
            **{f"raytl_monitor_evidence_{name}": value for name, value in single},
        }

    def state(self) -> MonitorState:
        """Return the state, to be stored."""
        with self._changing:
            stream, reached_at, began = self._stream, self._reached_at, self._began
        return MonitorState(
            1,
            self.version,
            self.reference.weights,
            self.reference.statistics,
            stream.wealth.images,
            tuple(stream.wealth.bets.ravel().tolist()),
            encoded_rows(stream.retained),
            stream.peak,
            stream.peak_at,
            _timestamp(),
            reached_at[0] if reached_at else "",
            reached_at,
            began,
        )

    def resume(self, store: ObjectStore, host: str, on_event: OnEvent = ignore) -> bool:
        """Go on from the state that a server of this name stored for the same version; return whether there is one."""
        state = state_at(store, f"{MONITOR}{host}.json", on_event)
        mine = (self.version, self.reference.weights, self.reference.statistics)
        if state is None or (state.version, state.weights, state.statistics) != mine:
            return False
        with self._changing:
            self._stream, self._reached_at, self._began = state.stream, state.times_reached, state.began
        return True

    def save(self, store: ObjectStore, host: str) -> None:
        """Store the state."""
        content = json.dumps(asdict(self.state()), allow_nan=False).encode()
        retried(lambda: store.put_bytes(f"{MONITOR}{host}.json", content))


def open_monitor(folder: str | Path, card: BundleCard, version: str) -> Monitor | None:
    """Return the monitor of the bundle in `folder`; None if it has no reference.

    Raises:
        ModelError: the reference is damaged.
    """
    path = Path(folder) / MONITOR_JSON
    if MONITOR_JSON not in card.files:
        return None
    return Monitor(REFERENCE_FORMAT.load(path), version, distance_in(Path(folder), card))


def distance_in(folder: Path, card: BundleCard) -> Distance | None:
    """Return the distance of features to the training images of the bundle; None if it has no such reference.

    Raises:
        ModelError: the file is damaged.
    """
    limit = card.thresholds.unfamiliar
    if limit is None:
        return None
    try:
        base = np.load(folder / limit.file, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / limit.file}: cannot be read ({error}); export the model again") from error
    neighbors = limit.neighbors
    return lambda features: float(knn_distance(np.asarray(features).reshape(1, -1), base, neighbors)[0])


def view_properties(view: NDArray[np.uint8]) -> dict[str, float]:
    """Return the photographic properties of a view `(height, width, 3)`, as the reference has them."""
    measured = of_pixels(view[None])
    return {name: float(measured[name][0]) for name in PIXELS}


def current_alarm(store: ObjectStore, on_event: OnEvent = ignore) -> Alarm | None:
    """Return the alarm of the servers that wrote into the prefix; None if there is none.

    Each has to reach n / `ALPHA` (Bonferroni) while n servers are in use, so that more servers raise no more false alarms.
    """
    keys = sorted(info.key for info in retried(lambda: list(store.list(MONITOR))) if is_state(info.key))
    return alarm_of([state for key in keys if (state := state_at(store, key, on_event)) is not None])


def alarm_of(states: Sequence[MonitorState]) -> Alarm | None:
    """Return the first alarm of the states of several servers; only those of the version that was seen last count.

    An alarm stays when its server ends or others begin: only servers that were in use at its time count.
    """
    if not states:
        return None
    version = max(states, key=lambda state: datetime.fromisoformat(state.updated)).version
    current = [state for state in states if state.version == version]
    lifetimes_s = [state.lifetime_s for state in current]
    alarms = [alarm for state in current if (alarm := _alarm_in(state, lifetimes_s)) is not None]
    return min(alarms, key=lambda alarm: alarm.at, default=None)


def _alarm_in(state: MonitorState, lifetimes_s: Sequence[tuple[float, float]]) -> Alarm | None:
    """Return the alarm of one server: when its evidence first was enough for the servers that were in use then."""
    for enough_for, at in enumerate(state.times_reached, start=1):
        at_s = _seconds(at)
        servers = max(1, sum(began_s <= at_s <= ended_s for began_s, ended_s in lifetimes_s))
        if servers <= (enough_for if enough_for < MAX_SERVERS else state.peak * ALPHA):
            return Alarm(
                state.version, datetime.fromisoformat(at), state.peak, servers / ALPHA, state.peak_at, _speaking(state)
            )
    return None


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _speaking(state: MonitorState) -> tuple[str, ...]:
    """Return the statistics with most of the evidence, the strongest first."""
    wealth = state.stream.wealth.by_statistic
    order: list[int] = np.argsort(-np.asarray(wealth), kind="stable").tolist()
    return tuple(state.statistics[place] for place in order[:3])


def state_at(store: ObjectStore, key: str, on_event: OnEvent = ignore) -> MonitorState | None:
    """Return a stored state; None if there is none, or it cannot be read, which a warning says."""
    try:
        content = retried(lambda: store.get_bytes(key, max_bytes=STATE_FORMAT.max_bytes))
        return STATE_FORMAT.read(content, f"{store.uri}/{key}", on_event)
    except NotFound:
        return None
    except RaytlError as error:
        on_event(Message(f"ignored the state of a monitor: {error}", "warning"))
        return None
