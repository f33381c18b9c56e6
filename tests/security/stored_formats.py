"""Every stored format: a document as raytl writes it, and what reads it.

A reader gets the bytes and a folder to put them in. It goes on as far as raytl does with what it read, so that a value that
passes the schema and breaks the next step is found too.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raytl.config.schema import DataConfig, Experiment, ModelConfig
from raytl.config.space import Dimension, Space
from raytl.data import audit_cache, image_packs, sample_columns, sample_file, snapshot, split
from raytl.data.formats import archives, shards
from raytl.data.manifest import Sample, dataset_digest
from raytl.data.samples import SAMPLE_FORMAT
from raytl.data.transforms import Preprocess
from raytl.evaluation import record
from raytl.evaluation.stored import REPORT_FORMAT
from raytl.models import card, probe
from raytl.registry.registry import Registry
from raytl.retraining import calibrated
from raytl.retraining.changes import Changes
from raytl.retraining.page import write
from raytl.retraining.page.registry import registry_page
from raytl.retraining.policy import Search
from raytl.retraining.splits import Memory
from raytl.retraining.ticks import Tick, all_ticks, last_tick, new_tick
from raytl.run import failure as failures
from raytl.run import journal, ledger, whole
from raytl.run.folder import RunFolder
from raytl.run.mirror import Mirror
from raytl.run.plain import encode
from raytl.run.provenance import PROVENANCE_FORMAT, provenance
from raytl.search import earlier, feature_rows, noise, prior, summary
from raytl.search.record import ATTRIBUTES_FORMAT
from raytl.search.replicas import Replicas
from raytl.store import holder, pulled
from raytl.store.memory import MemoryStore
from raytl.stored import Format
from raytl.tasks import auto_recipe, stored_report
from raytl.tasks.classification import stored
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT
from raytl.tasks.classification.report import as_json
from raytl.tasks.score_reporting import SCORE_FORMAT
from raytl.training import checkpoint, records
from tests.registry.conftest import about
from tests.tasks.classification.test_stored import REPORT

Read = Callable[[bytes, Path], object]
ABC = "0123456789abcdef" * 4
PREPROCESS = Preprocess(32, 36, "center", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
SAMPLES = [Sample(f"red/{n}.jpg", f"/photos/red/{n}.jpg", "red", side, ABC) for n, side in enumerate(("train", "val"))]
EXPERIMENT = Experiment(name="x", data=DataConfig(uri="x"), model=ModelConfig(name="y"))
METRICS = {"val/accuracy": 0.5, "val/log_loss": None}


@dataclass(frozen=True)
class Stored:
    """A stored format by the name of its constant: a `valid` document, and what reads it.

    Errors hold `names`; a format of a cache is `forgiving`: what cannot be read of it is as good as absent.
    """

    name: str
    valid: bytes
    read: Read
    names: str
    forgiving: bool = False


def at(name: str, read: Callable[[Path], object]) -> Read:
    """Return what puts the bytes into the file `name` of a folder, and reads that folder."""

    def reader(content: bytes, folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(folder)

    return reader


def by_path(name: str, kind: Format[Any]) -> Read:
    """Return what reads a file of a format, and writes its value again."""
    return at(name, lambda folder: encode(plainly(kind.load(folder / name))))


def plainly(value: Any) -> Any:
    """A value as JSON can hold it."""
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def lines(*rows: Any) -> bytes:
    return b"".join(encode(row) + b"\n" for row in rows)


# runs


def _manifest(folder: Path) -> object:
    run = RunFolder(folder)
    run.verify()
    assert isinstance(run.finished, bool)
    found = dict(run_folder_format().load(run.manifest).summary)
    return records.SUMMARY_FORMAT.typed(found, f"{run.manifest}: summary")


def run_folder_format() -> Format[Any]:
    from raytl.run.folder import MANIFEST_FORMAT

    return MANIFEST_FORMAT


def _journal(folder: Path) -> object:
    path = folder / "journal.jsonl"
    try:
        return journal.read(path)
    finally:
        journal.append(path, {"epoch": 1})


def _epochs(folder: Path) -> object:
    from raytl.search.worker import failure

    run = RunFolder(folder)
    checkpoint.drop_later_metrics(run)
    return failure(journal.read(run.metrics, checkpoint.EPOCH_FORMAT), "x", ValueError("x"), 1)


def _score(folder: Path) -> object:
    from raytl.training.driver import _matrix

    run = RunFolder(folder)
    return _matrix(run, records.SCORE_FORMAT.load(run.best / "validation.json"), 2)


def _evaluated(folder: Path) -> object:
    samples = record.recorded(RunFolder(folder), "val")
    return dataset_digest(samples), encode([sample.record() for sample in samples])


def _mirrored(folder: Path) -> object:
    return Mirror(MemoryStore(f"memory://{folder}"), folder)._memory()


SCORE_REPORT = {
    **{key: REPORT[key] for key in ("run", "model", "split", "weights", "data", "skipped", "images", "look", "looks")},
    "metrics": {"map": {"value": 0.5, "low": 0.25, "high": 0.75}},
    "unit": "objects",
    "classes": {"car": {"support": 3, "ap": {"value": 0.5, "low": 0.25, "high": 0.75}}},
    "confusion": {
        "classes": ["car", "background"],
        "counts": "objects",
        "cells": {"true": [0], "predicted": [1], "images": [2]},
    },
    "worst": [{"key": "a/b.jpg", "path": "/a/b.jpg", "score": 0.5, "note": "1 missed"}],
    "intervals": REPORT["intervals"],
    "folder": "elsewhere",
}

RUNS = [
    Stored("models.card:CARD_FORMAT", encode(card.Card("test_resnet", ("a", "b"), PREPROCESS, ABC).to_json(), 2),
           at("model.json", lambda folder: encode(card.read_card(folder).to_json())), "model.json"),
    Stored("retraining.calibrated:TEMPERATURE_FORMAT", encode({"model": "test_resnet", "temperature": 1.25}), by_path("model.json", calibrated.TEMPERATURE_FORMAT), "model.json"),
    Stored("models.card:PREPROCESS_FORMAT", encode(PREPROCESS.to_json()), by_path("p.json", card.PREPROCESS_FORMAT), "p.json"),
    Stored("models.probe:PROBE_FORMAT",
           encode({"best": 0.1, "soft": 1.0, "scores": {"1e-05": METRICS, "10.0": METRICS}, "seconds": 2.5}),
           by_path("probe.json", probe.PROBE_FORMAT), "probe.json"),
    Stored("run.folder:MANIFEST_FORMAT",
           encode({"format": 1, "summary": {"best_epoch": 1, "epochs": 2, "metrics": METRICS},
                   "files": {"experiment.yaml": {"bytes": 3, "sha256": ABC}}}),
           at("manifest.json", _manifest), "manifest.json"),
    Stored("run.ledger:LOOK_FORMAT", lines(*(asdict(ledger.LedgerEntry(n, "me", "2026", ABC)) for n in (1, 2))),
           at("test_ledger.jsonl", lambda folder: encode([asdict(x) for x in ledger.looks(RunFolder(folder))])),
           "test_ledger.jsonl"),
    Stored("run.failure:FAILURE_FORMAT", encode({"when": "2026", "error": "DataError", "text": "x"}, 2),
           by_path("failure.json", failures.FAILURE_FORMAT), "failure.json"),
    Stored("run.journal:RECORD_FORMAT", lines({"epoch": 1}, {"epoch": 2}), at("journal.jsonl", _journal), "journal.jsonl"),
    Stored("run.epochs:EPOCH_FORMAT",
           lines(*({"epoch": n, "stage": "head", "best": n == 1, "train/seconds": 1.5, **METRICS} for n in (1, 2))),
           at("metrics.jsonl", _epochs), "metrics.jsonl"),
    Stored("run.provenance:PROVENANCE_FORMAT", encode({**provenance(1), "dataset": ABC, "bit_depth": 12}, 2),
           by_path("provenance.json", PROVENANCE_FORMAT), "provenance.json"),
    Stored("run.whole:WHOLE_FORMAT", encode({"token": "abc", "files": {"a/b": {"bytes": 1, "sha256": ABC}}, "writer": "x"}),
           by_path("WHOLE.json", whole.WHOLE_FORMAT), "WHOLE.json"),
    Stored("run.whole:MEMORY_FORMAT",
           encode({"files": {"a/b": {"etag": "x", "local": [1, 2]}},
                   "folders": {"checkpoints/best": {"etag": "x", "local": None, "token": "y"}}}),
           at(".mirror.json", _mirrored), ".mirror.json"),
    Stored("training.checkpoint:STATE_FORMAT",
           encode({"format": 1, "progress": asdict(checkpoint.Progress(1, 2, checkpoint.Best(0, {"a": 0.5}))),
                   "optimizer": {"head.weight": {"step": 3}}, "scaler": {}}),
           at("state.json", lambda folder: encode(asdict(checkpoint.read_progress(folder)))), "state.json"),
    Stored("training.records:SCORE_FORMAT", encode({"epoch": 1, "metrics": METRICS, "confusion": [[1, 0], [2, 3]]}),
           at("checkpoints/best/validation.json", _score), "validation.json"),
    Stored("training.records:SUMMARY_FORMAT", encode({"best_epoch": 1, "epochs": 2, "metrics": METRICS}),
           by_path("summary.json", records.SUMMARY_FORMAT), "summary.json"),
    Stored("training.records:CLASSES_FORMAT", encode(["a", "b"]), by_path("classes.json", records.CLASSES_FORMAT),
           "classes.json"),
    Stored("evaluation.stored:REPORT_FORMAT", encode(REPORT, 2), by_path("report.json", REPORT_FORMAT), "report.json"),
    Stored("tasks.stored_report:REPORT_FORMAT", encode(REPORT, 2),
           at("report.json", lambda folder: encode(as_json(stored.stored(folder)))), "report.json"),
    Stored("tasks.stored_report:REPORT_FORMAT", encode(SCORE_REPORT, 2),
           by_path("report.json", stored_report.REPORT_FORMAT), "report.json"),
    Stored("tasks.score_reporting:SCORE_FORMAT", lines({"key": "a", "score": 0.5}, {"key": "b", "score": 1.0}),
           lambda content, _: list(SCORE_FORMAT.lines(content, "outcomes.jsonl")), "outcomes.jsonl"),
    Stored("tasks.classification.outcomes:OUTCOME_FORMAT",
           lines(*({"key": s.key, "true": "red", "predicted": "blue", "probability": 0.5} for s in SAMPLES)),
           lambda content, _: list(OUTCOME_FORMAT.lines(content, "outcomes.jsonl")), "outcomes.jsonl"),
    Stored("tasks.auto_recipe:RECIPE_FORMAT", encode({"choices": [{"key": "train.epochs", "value": 9, "why": "Few."}]}),
           by_path("recipe.json", auto_recipe.RECIPE_FORMAT), "recipe.json"),
    Stored("data.sample_columns:TARGET_FORMAT", encode({"kind": "labels", "present": ["a"], "unknown": ["b"]}),
           by_path("target.json", sample_columns.TARGET_FORMAT), "target.json"),
    Stored("data.sample_file:_HEAD_FORMAT",
           encode({"format": 1, "bases": ["/photos/", None], "splits": ["train", None], "targets": ["a", "b"]}),
           by_path("head.json", sample_file._HEAD_FORMAT), "head.json"),
    Stored("data.samples:SAMPLE_FORMAT", lines(*(sample.record() for sample in SAMPLES)), at("samples.jsonl", _evaluated),
           "{folder}"),
]  # fmt: skip


# registries


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
    Stored("retraining.ticks:TICK_FORMAT", encode(TICK.to_json(), 2), _tick, "ticks/"),
    Stored("retraining.splits:MEMORY_FORMAT", Memory({ABC: "train", "b": "test"}, {ABC: 7}).encoded(),
           lambda content, folder: Memory.decoded(content, f"{folder}/memory.jsonl").encoded(), "memory.jsonl"),
    Stored("retraining.page.write:ROW_FORMAT", lines(ROW, ROW),
           lambda content, folder: write._flips(list(write.ROW_FORMAT.lines(content, "rows.jsonl")), 10**6, write.BitDepth()),
           "rows.jsonl"),
    Stored("retraining.page.write:DEPTH_FORMAT", encode({"bits": 12, "fixed": True}), by_path("d.json", write.DEPTH_FORMAT),
           "d.json"),
    Stored("data.split:SPLIT_FILE_FORMAT", lines(*({"key": s.key, "split": s.split} for s in SAMPLES)), _sided, "sides.jsonl"),
]  # fmt: skip


# sweeps and caches


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
    Stored("search.summary:TOTAL_FORMAT", encode({"trials": 9, "planned": 64, "stop": STOP}), by_path("trials.json", summary.TOTAL_FORMAT), "trials.json"),
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
    Stored("search.feature_rows:ROWS_FORMAT", encode({"count": 3, "width": 4, "type": "torch.float32"}), by_path("card.json", feature_rows.ROWS_FORMAT), "card.json"),
    Stored("store.pulled:PULLED_FORMAT", encode([PULLED, PULLED]),
           at("manifest.json", lambda folder: pulled.recorded(pulled.Place(folder))), "manifest.json", forgiving=True),
    Stored("store.pulled:FETCHED_FORMAT", lines(PULLED, PULLED),
           at("journal.jsonl", lambda folder: pulled.recorded(pulled.Place(folder))), "journal.jsonl", forgiving=True),
    Stored("data.audit_cache:_read", lines(audit_cache._fingerprint(10**6), [["/photos/red/0.jpg"], *FOUND]),
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

ALL = [*RUNS, *REGISTRIES, *SWEEPS, *LEASES]
assert SAMPLE_FORMAT.max_bytes < 1 << 20
