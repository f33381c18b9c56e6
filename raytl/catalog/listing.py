"""From a URI to the runs and sweeps below it. Of each, only a few small files are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raytl.catalog.entry import Entry, Kind, State, moment
from raytl.catalog.writer import is_locked, is_renewed
from raytl.config.stored import MOST_BYTES, StoredExperiment, read_stored
from raytl.data.manifest import snapshot_id
from raytl.errors import RaytlError, first_line
from raytl.metrics.direction import lower_is_better
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.failure import FAILURE, FAILURE_FORMAT
from raytl.run.folder import MANIFEST_FORMAT
from raytl.run.place import EXPERIMENT, Place, places
from raytl.run.provenance import PROVENANCE_FORMAT
from raytl.search.summary import SUMMARY, SUMMARY_FORMAT, TOTAL_FORMAT
from raytl.store.holder import decoded
from raytl.store.lease import KEY as LEASE
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.training.records import SUMMARY_FORMAT as RUN_SUMMARY_FORMAT

_METRICS, _MANIFEST, _PROVENANCE, _TOTAL = "metrics.jsonl", "manifest.json", "provenance.json", "trials.json"
_MAX_METRICS_BYTES = 16 << 20
"""16 runs are read at once, each epoch has about 500 bytes."""
_THREADS = 16


def list_runs(uri: str, now: datetime | None = None, s3: S3Settings = ENVIRONMENT) -> list[Entry]:
    """Return the runs and sweeps at or below `uri`, the last changed first; trials of sweeps are left out.

    One that cannot be read is listed with the reason.

    Raises:
        RunError: `uri` is no folder.
        StoreError: the bucket cannot be read.
    """
    run_places = list(places(uri, s3))
    with ThreadPoolExecutor(_THREADS) as pool:
        entries = list(pool.map(lambda place: _entry(place, now or datetime.now(UTC)), run_places))
    snapshots = {entry.uri: entry.snapshot for entry in entries}
    entries = [_with_winners_data(entry, snapshots) for entry in entries]
    return sorted(entries, key=lambda entry: (entry.updated, entry.uri), reverse=True)


def _entry(place: Place, now: datetime) -> Entry:
    name = place.uri.rpartition("/")[2]
    kind: Kind = "run" if _PROVENANCE in place.names else "sweep"
    try:
        stored = read_stored(place.content(EXPERIMENT, MOST_BYTES), f"{place.uri}/{EXPERIMENT}")
        entry = Entry(place.uri, name, kind, "interrupted", stored.recipe.model.name)
        entry = _run(place, entry, stored) if kind == "run" else _sweep(place, entry, stored)
        return _with_writer(place, entry, now)
    except RaytlError as error:
        return Entry(place.uri, name, kind, "unreadable", note=first_line(error), updated=_changed(place))


def _run(place: Place, entry: Entry, stored: StoredExperiment) -> Entry:
    metric = stored.recipe.train.metric
    origin = place.load(_PROVENANCE, PROVENANCE_FORMAT)
    entry = replace(
        entry,
        metric=metric,
        total=stored.recipe.train.epochs,
        snapshot=snapshot_id(origin.dataset) if origin else "",
        updated=_changed(place) or str(origin.time if origin else ""),
    )
    if manifest := place.load(_MANIFEST, MANIFEST_FORMAT):
        summary = RUN_SUMMARY_FORMAT.typed(manifest.summary, f"{place.uri}/{_MANIFEST}: summary")
        return replace(entry, state="finished", value=summary.metrics.get(metric), done=summary.epochs)
    epochs = _epochs(place)
    values = [record[metric] for record in epochs if isinstance(record.get(metric), float)]
    best: Callable[..., float] = min if lower_is_better(metric) else max
    return replace(entry, done=len(epochs), value=best(values) if values else None)


def _epochs(place: Place) -> list[Mapping[str, Any]]:
    """Return the epochs so far; a last line without its newline is being written."""
    if _METRICS not in place.names:
        return []
    content = place.content(_METRICS, _MAX_METRICS_BYTES)
    whole, newline, _ = content.rpartition(b"\n")
    return list(EPOCH_FORMAT.lines(whole + newline, f"{place.uri}/{_METRICS}"))


def _sweep(place: Place, entry: Entry, stored: StoredExperiment) -> Entry:
    total = place.load(_TOTAL, TOTAL_FORMAT)
    entry = replace(
        entry,
        metric=str(stored.settings.get("search.metric", "")),
        total=total.trials if total else 0,
        updated=_changed(place),
    )
    if summary := place.load(SUMMARY, SUMMARY_FORMAT):
        done = summary.ended
        entry = replace(entry, state="finished", metric=summary.metric, value=summary.best_value, done=done)
    return entry


def _with_writer(place: Place, entry: Entry, now: datetime) -> Entry:
    """Return the entry with its state: whoever writes to it now, or the error that ended it."""
    holder = decoded(place.content(LEASE, 1 << 14)) if LEASE in place.names else None
    is_running = is_renewed(holder, now) if place.folder is None else is_locked(place.folder)
    failure = place.load(FAILURE, FAILURE_FORMAT)
    updated = _latest(entry.updated, holder.renewed if holder else "", failure.when if failure else "")
    state: State = entry.state
    if is_running:
        state = "running"
    elif state != "finished" and failure:
        state = "failed"
    note = f"{failure.error}: {failure.text}" if failure and state == "failed" else ""
    return replace(entry, state=state, updated=updated, note=note)


def _latest(*times: str) -> str:
    """Return the latest of these times; empty if none of them is a time."""
    return max(((when, time) for time in times if (when := moment(time))), default=(None, ""))[1]


def _changed(place: Place) -> str:
    """Return the time of the last change of a folder's small files; empty for one in a bucket."""
    if place.folder is None:
        return ""
    names = (EXPERIMENT, _METRICS, _MANIFEST, SUMMARY, FAILURE, "clock.json", "study.log")
    times = [time for name in names if name in place.names and (time := _mtime(place.folder / name)) is not None]
    return max(times).isoformat(timespec="seconds") if times else ""


def _mtime(path: Path) -> datetime | None:
    """Return the time of a file's last change; None if it was removed since it was listed, or has no valid time."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _with_winners_data(entry: Entry, snapshots: Mapping[str, str]) -> Entry:
    """Return a sweep's entry with the data snapshot of its winner, which is a run of its own."""
    if entry.kind != "sweep":
        return entry
    return replace(entry, snapshot=snapshots.get(f"{entry.uri.removesuffix('-sweep')}-winner", ""))
