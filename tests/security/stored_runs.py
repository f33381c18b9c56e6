"""The stored formats of runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from raytl.data import sample_columns, sample_file
from raytl.data.manifest import dataset_digest
from raytl.data.sample import Sample
from raytl.evaluation import record
from raytl.evaluation.stored import REPORT_FORMAT
from raytl.labelling import record as label_record
from raytl.models import card, probe
from raytl.retraining import calibrated
from raytl.run import failure as failures
from raytl.run import journal, ledger, whole
from raytl.run.folder import RunFolder
from raytl.run.mirror import Mirror
from raytl.run.plain import encode
from raytl.run.provenance import PROVENANCE_FORMAT, provenance
from raytl.store.memory import MemoryStore
from raytl.stored import Format
from raytl.tasks import auto_recipe, stored_report
from raytl.tasks.classification import stored
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT
from raytl.tasks.classification.report import as_json
from raytl.tasks.score_reporting import SCORE_FORMAT
from raytl.training import checkpoint, records
from tests.security.stored_document import ABC, METRICS, PREPROCESS, SAMPLES, Stored, at, by_path, lines
from tests.tasks.classification.test_stored import REPORT


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


def _label_changes(folder: Path) -> object:
    stored = label_record.stored_changes(folder)
    assert stored is not None
    added = [one for each in stored.changes for one in each.added]
    present = [Sample(one.key, "/b.jpg", None, "train", one.digest) for one in added]
    changes = label_record.restored(stored, [one.label for one in added], lambda _: present, "x")
    return encode([asdict(each) for each in stored.changes]), len(changes)


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
    Stored("run.provenance:PROVENANCE_FORMAT", encode({**provenance(1), "dataset": ABC, "bit_depth": 12, "label_methods": {"few.method: pseudo": 3},
                   "corrections": {"relabelled": 2}}, 2),
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
    Stored("labelling.record:LABEL_CHANGES_FORMAT",
           encode({"format": 1, "changes": [{
               "settings": {"few.method": "propagate"}, "notes": ["x"],
               "left_out": [{"key": "a/1.jpg", "by": "x", "confidence": 0.5}],
               "added": [{"key": "data.unlabelled:b.jpg", "label": "a", "digest": ABC, "by": "x", "confidence": None}]}]}),
           at("label-changes.json", _label_changes), "label-changes.json"),
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
