"""The stored formats of feedback, and what follows from a hostile prefix."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from raytl.data import corrections, feedback
from raytl.feedback import collection, monitor, record, reference, retention
from raytl.feedback.estimate import estimates
from raytl.feedback.monitor import Monitor
from raytl.run.plain import encode
from raytl.store.memory import MemoryStore
from tests.feedback.made import NOW
from tests.feedback.made import record as made_record
from tests.security.stored_document import ABC, Stored, by_path


def _labels(content: bytes, folder: Path) -> object:
    found = feedback.LABELS_FORMAT.read(content, "labels/")
    store = MemoryStore(f"memory://{folder}")
    store.put_bytes("labels/20261102T120000Z-00000000.json", content)
    return [feedback.read_labels(store), encode(asdict(found))]


def _correction(content: bytes, folder: Path) -> object:
    found = corrections.CORRECTION_FORMAT.read(content, "fixes.csv")
    table = corrections.text_of([found], with_header=True).encode("utf-8", "backslashreplace")
    return [encode(asdict(found)), len(corrections.parsed(table, "fixes.csv"))]


def _records(content: bytes, folder: Path) -> object:
    rows = list(record.RECORD_FORMAT.lines(content, "records/"))
    store = MemoryStore(f"memory://{folder}")
    store.put_bytes("records/20261102T120000Z-x.jsonl", content)
    retention.Retention(store, 1, 1).apply(NOW)
    return [(row.key, row.margin, row.vector.tolist(), row.line()) for row in rows]


def _collection(content: bytes, folder: Path) -> object:
    found = collection.COLLECTION_FORMAT.read(content, "collections/")
    return [encode(asdict(found)), estimates(found.random_images, {ABC: "a"})]


def _state(content: bytes, folder: Path) -> object:
    found = monitor.STATE_FORMAT.read(content, "monitor/")
    alarm = monitor.alarm_of([found])
    row = np.zeros(len(found.statistics))
    after = found.stream.after(row, np.random.default_rng(0), 10)
    return [encode(asdict(found)), alarm and alarm.statistics, after.peak]


_REFERENCE = reference.monitor_reference("abc", [0.5, 0.75], [0.25, 0.5], np.ones((2, 5)))
_QUIET = Monitor(reference.REFERENCE_FORMAT.typed(_REFERENCE, "x"), "7").state()
_STATE = replace(_QUIET, peak=45.0, alarm_at=_QUIET.updated, reached_at=(_QUIET.updated,) * 2)
_CHOSEN = collection.Chosen(ABC, "a", "7", NOW.isoformat(), "random", 2.5)
FEEDBACK = [
    Stored("data.feedback:LABELS_FORMAT",
           encode({"format": 1, "who": "me", "when": NOW.isoformat(), "labels": [{"photo": ABC, "label": "a"}]}),
           _labels, "labels"),
    Stored("data.corrections:CORRECTION_FORMAT",
           encode(asdict(corrections.Correction("a.jpg", "a", "b", "me", NOW.isoformat(), "seen"))), _correction, "fixes.csv"),
    Stored("feedback.record:RECORD_FORMAT",
           made_record(ABC, pixels={"sharpness": 2.5}, flags=("unfamiliar",), features="ADwAPA==").line() * 2, _records, "records"),
    Stored("feedback.collection:COLLECTION_FORMAT",
           encode(asdict(collection.Collection(1, "me", NOW.isoformat(), (_CHOSEN,)))), _collection, "collections/"),
    Stored("feedback.reference:REFERENCE_FORMAT", json.dumps(_REFERENCE).encode(),
           by_path("monitor.json", reference.REFERENCE_FORMAT), "monitor.json"),
    Stored("feedback.monitor:STATE_FORMAT", encode(asdict(_STATE)), _state, "monitor/"),
]  # fmt: skip
"""The stored formats of feedback."""
