"""The stored formats of registries."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from raytl.config.schema import DataConfig
from raytl.data import split
from raytl.registry import reports
from raytl.registry.registry import Registry
from raytl.retraining.changes import Changes
from raytl.retraining.page import write
from raytl.retraining.page.registry import registry_page
from raytl.retraining.policy import Search
from raytl.retraining.splits import Memory
from raytl.retraining.ticks import Tick, all_ticks, last_tick, new_tick
from raytl.run.plain import encode
from raytl.store.memory import MemoryStore
from tests.registry.conftest import about
from tests.security.stored_document import ABC, PREPROCESS, SAMPLES, Stored, by_path, lines


def _registry(key: str, content: bytes, folder: Path) -> Registry:
    registry = Registry(MemoryStore(f"memory://{folder}"))
    registry.store.put_bytes(key, content)
    return registry


def _version(content: bytes, folder: Path) -> object:
    registry = _registry("versions/000001.json", content, folder)
    survey = registry.survey()
    assert len(survey.records) + len(survey.unread) == 1
    registry_page("x", registry.records(), {}, [], []).encode("utf-8", "backslashreplace")
    found = registry.record(1)
    write._depth(registry, 1)
    return found.encoded()


def _moved(content: bytes, folder: Path) -> object:
    registry = _registry("moves/00000001.json", content, folder)
    registry_page("x", [], {}, registry.history(), []).encode("utf-8", "backslashreplace")
    return registry.state().last


def _tick(content: bytes, folder: Path) -> object:
    store = MemoryStore(f"memory://{folder}")
    store.put_bytes(f"ticks/{TICK.id}.json", content)
    last = last_tick(store)
    new_tick(datetime(2026, 12, 1, tzinfo=UTC), "me", last)
    registry_page("x", [], {}, [], all_ticks(store)).encode("utf-8", "backslashreplace")
    from raytl.retraining.ticks import read_tick

    return json.dumps(read_tick(store, f"ticks/{TICK.id}.json").to_json())


def _sided(content: bytes, folder: Path) -> object:
    (folder / "sides.jsonl").write_bytes(content)
    return split.apply_splits(SAMPLES, DataConfig(uri="x", split_file=str(folder / "sides.jsonl")))


TICK = Tick(
    "20261101T060000Z-abcd", "2026-11-01T06:00:00+00:00", "me", "decided", looks=2, trained=1,
    trained_at="2026-10-01T06:00:00+00:00", changes=Changes("s", 1, {"a": 3}, balance={"a": (0.5, 1.0)}),
    decision=Search(("new images",), 1, 10),
)  # fmt: skip
RECORD = {
    "number": 1, "token": "20261101T060000Z-ab",
    "about": asdict(about(preprocess=PREPROCESS.to_json(), git={"commit": "abc", "dirty": False})),
    "files": {"experiment.yaml": {"bytes": 3, "sha256": ABC}},
}  # fmt: skip
MOVE = {
    "number": 1, "when": "2026", "who": "me", "why": "better", "moved": {"champion": [None, 1]},
    "aliases": {"champion": 1}, "token": "x",
}  # fmt: skip
ROW = {**SAMPLES[0].record(), "champion": None, "challenger": "red", "confidence": 0.5}
REGISTRIES = [
    Stored("registry.record:RECORD_FORMAT", encode(RECORD, 2), _version, "version"),
    Stored("registry.record:MOVE_FORMAT", encode(MOVE, 2), _moved, "moves"),
    Stored("registry.reports:MEMORY_FORMAT", encode({"ledger.jsonl": {"etag": ABC, "size": 3, "modified_ns": 7}}),
           by_path("reports.json", reports.MEMORY_FORMAT), "reports.json"),
    Stored("retraining.ticks:TICK_FORMAT", encode(TICK.to_json(), 2), _tick, "ticks/"),
    Stored("data.split_memory:MEMORY_FORMAT", Memory({ABC: "train", "b": "test"}, {ABC: 7}).encoded(),
           lambda content, folder: Memory.decoded(content, f"{folder}/memory.jsonl").encoded(), "memory.jsonl"),
    Stored("retraining.page.write:ROW_FORMAT", lines(ROW, ROW),
           lambda content, folder: write._flips(list(write.ROW_FORMAT.lines(content, "rows.jsonl")), 10**6, write.BitDepth()),
           "rows.jsonl"),
    Stored("retraining.page.write:DEPTH_FORMAT", encode({"bits": 12, "fixed": True}), by_path("d.json", write.DEPTH_FORMAT),
           "d.json"),
    Stored("data.split:SPLIT_FILE_FORMAT", lines(*({"key": s.key, "split": s.split} for s in SAMPLES)), _sided, "sides.jsonl"),
]  # fmt: skip
