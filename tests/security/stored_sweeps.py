"""The stored formats of sweeps and caches, and of leases."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from raytl.config.search import SearchConfig
from raytl.config.space import Dimension, Space
from raytl.data import audit_cache, image_packs, snapshot
from raytl.data.formats import archives, shards
from raytl.run.plain import encode
from raytl.search import earlier, noise, prior, storage, summary
from raytl.search.record import ATTRIBUTES_FORMAT
from raytl.search.replicas import Replicas
from raytl.store import holder, pulled
from raytl.tasks import feature_rows
from tests.security.stored_document import ABC, EXPERIMENT, SAMPLES, Read, Stored, at, by_path, lines


def _swept(folder: Path) -> object:
    from raytl.cli.sweep_tables import result_tables

    summary.ended(folder)
    found = summary.finished(folder, EXPERIMENT)
    result_tables(found)
    return encode(asdict(found))


SPACE = Space((Dimension("optim.lr", "log", 1e-4, 1.0),))


def _prior(folder: Path) -> object:
    prior.check(found := prior.load(folder), folder, SPACE, {})
    return found.digest


def _earlier(content: bytes, folder: Path) -> object:
    study = earlier.read_study(content, "old-sweep", "val/accuracy")
    wanted = earlier.Wanted(SPACE, {}, 5, "val/accuracy", {}, ABC, str(folder))
    prior.save(folder, found := prior.Prior((earlier.points_within(study, wanted),)))
    assert prior.load(folder) == found
    return _prior(folder)


def _replicas(folder: Path) -> object:
    return Replicas([], folder / "replicates.jsonl").scores()


def _study_name(folder: Path) -> object:
    return storage.study_name(folder, SearchConfig(storage="mysql://host/db"), "x")


def _recalled(folder: Path) -> object:
    found = audit_cache.load_findings(SAMPLES, 10**6)
    return [finding.levels for finding in found.values()]


def _in_cache(name: str, read: Callable[[Path], object]) -> Read:
    def reader(content: bytes, folder: Path) -> object:
        return at(name, lambda _: read(folder))(content, audit_cache.cache_root())

    return reader


def _snapshot(folder: Path) -> object:
    return snapshot._stored("a" * 16)


STOP = {"ended": 20, "remaining": 44, "gain": 0.01, "noise": 0.02}
RESULT = {
    "folder": "sweep", "status": "finished", "trials": {"complete": 3}, "best_number": 1, "best_value": 0.9,
    "metric": "val/accuracy", "overrides": {"optim.lr": 0.1}, "winner_number": 1, "reason": "it won", "sweep_score": 0.9,
    "replicates": [{"number": 1, "mean": 0.9, "low": None, "high": None, "scores": [0.9]}], "refit_score": 0.8,
    "soup": None, "experiment_file": "e.yaml", "run": "r", "report": "r.html", "csv": "c.csv", "seconds": 9.5, "next": "n", "stop": STOP, "folds": 5,
}  # fmt: skip
PULLED = {"key": "a/b.jpg", "size": 3, "etag": "x"}
FOUND = [struct.pack("<3q", 3, 1, 2).hex(), ABC, "00000000", ["cut short"], [""]]
SWEEPS = [
    Stored("search.summary:SUMMARY_FORMAT", encode(RESULT, 2), at("summary.json", _swept), "summary.json"),
    Stored("search.summary:TOTAL_FORMAT", encode({"trials": 9, "planned": 64, "stop": STOP, "added": 4, "limit": 80}), by_path("trials.json", summary.TOTAL_FORMAT), "trials.json"),
    Stored("search.storage:SUFFIX_FORMAT", encode({"suffix": "0123456789abcdef"}), at("study.json", _study_name), "study.json"),
    Stored("search.noise:NOISE_FORMAT", encode({"trial": 3, "standard_error": 0.02}), by_path("noise.json", noise.NOISE_FORMAT), "noise.json"),
    Stored("search.summary:CLOCK_FORMAT", encode({"wall_s": 9.5}), at("clock.json", summary.wall_s), "clock.json"),
    Stored("search.replicas:REPLICA_FORMAT", lines({"number": 1, "seed": 2, "score": 0.5, "reason": "", "seconds": 1.0}),
           at("replicates.jsonl", _replicas), "replicates.jsonl"),
    Stored("search.record:ATTRIBUTES_FORMAT",
           encode({"overrides": {"optim.lr": 0.1}, "best": [0.5], "best_epoch": 1, "seconds": 1.5, "folder": "trials/x"}),
           by_path("study.log", ATTRIBUTES_FORMAT), "study.log"),
    Stored("search.prior:PRIOR_FORMAT",
           encode({"sweeps": [{"name": "old-sweep", "trials": [{"values": {"optim.lr": 0.001}, "rank": 0.0}]}]}),
           at("prior.json", _prior), "prior.json"),
    Stored("search.earlier:LINE_FORMAT", lines(
               {"op_code": 2, "user_attr": {"raytl": {"metric": "val/accuracy"}}},
               {"op_code": 8, "trial_id": 0, "user_attr": {"overrides": {"optim.lr": 0.1}, "best": [0.5]}},
               {"op_code": 6, "trial_id": 0, "state": 1}),
           _earlier, "old-sweep/study.log"),
    Stored("tasks.feature_rows:ROWS_FORMAT", encode({"count": 3, "width": 4, "type": "torch.float32"}), by_path("card.json", feature_rows.ROWS_FORMAT), "card.json"),
    Stored("store.pulled:PULLED_FORMAT", encode([PULLED, PULLED]),
           at("manifest.json", lambda folder: pulled.recorded(pulled.Place(folder))), "manifest.json", forgiving=True),
    Stored("store.pulled:FETCHED_FORMAT", lines(PULLED, PULLED),
           at("journal.jsonl", lambda folder: pulled.recorded(pulled.Place(folder))), "journal.jsonl", forgiving=True),
    Stored("data.audit_cache:_read", lines(audit_cache._fingerprint(10**6, 3), [["/photos/red/0.jpg"], *FOUND]),
           lambda content, folder: _in_cache(str(audit_cache._file_of(SAMPLES)), _recalled)(content, folder), "", forgiving=True),
    Stored("data.audit_cache:INVALIDATED_FORMAT", lines("/photos/red/0.jpg", "/x"), _in_cache("audits/doubted.jsonl", lambda _: audit_cache._invalidated()), "doubted.jsonl", forgiving=True),
    Stored("data.image_packs:PACK_FORMAT", encode({"bytes": 3, "images": 1}), at("pack.json", image_packs._open), "pack.json", forgiving=True),
    Stored("data.formats.archives:NOTES_FORMAT", encode(["a note"]), by_path("notes.json", archives.NOTES_FORMAT), "notes.json"),
    Stored("data.formats.shards:INDEX_FORMAT",
           encode({"images": {"a.jpg": [0, 3, ABC]}, "texts": {"a.cls": "red"}, "others": ["x"]}),
           by_path("index.json", shards.INDEX_FORMAT), "index.json"),
]  # fmt: skip

HOLDER = {
    "generation": 3, "token": "ab12", "host": "h", "pid": 7, "boot": "b", "started": 5, "heartbeat": 2,
    "renewed": "2026-11-28T12:00:00+00:00", "given_back": False,
}  # fmt: skip
LEASES = [
    Stored("store.holder:HOLDER_FORMAT", encode(HOLDER), lambda content, _: holder.decoded(content), "", forgiving=True)
]
