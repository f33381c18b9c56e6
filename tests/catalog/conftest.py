"""Runs and sweeps as they are stored, made by hand in any store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raytl.data.manifest import Sample, dataset_digest
from raytl.evaluation.evaluate import OUTCOMES
from raytl.run.plain import encode
from raytl.store.open import open_store
from raytl.tasks.classification.outcomes import Outcome
from tests.tasks.classification.test_stored import REPORT

BASE = {"name": "x", "data": {"uri": "photos"}, "model": {"name": "resnet18"}}
ABC = "0123456789abcdef" * 4
METRIC = "val/balanced_accuracy"


def samples(*rows: tuple[str, str, str]) -> list[Sample]:
    """Samples of (key, label, split), whose content is named by the key."""
    return [
        Sample(key, f"/p/{key}", label, split, key.encode().hex().ljust(64, "0")[:64]) for key, label, split in rows
    ]


SAMPLES = samples(("a/1", "a", "train"), ("b/1", "b", "train"), ("a/2", "a", "test"), ("b/2", "b", "test"))


def put(uri: str, files: Mapping[str, Any]) -> str:
    """Store files by name: text and bytes as they are, lists as JSON lines, everything else as JSON."""
    store = open_store(uri)
    for name, value in files.items():
        if isinstance(value, list):
            content = "".join(json.dumps(row) + "\n" for row in value).encode()
        elif isinstance(value, (str, bytes)):
            content = value.encode() if isinstance(value, str) else value
        else:
            content = encode(value)
        store.put_bytes(name, content)
    return uri


def put_run(uri: str, scores: tuple[float, ...] = (0.5, 0.75), *, finished: bool = True, **changes: Any) -> str:
    """Store a run with an epoch for each score; `changes` replace or add files (None: leave the file out)."""
    found = changes.pop("samples", SAMPLES)
    epochs = [{"epoch": n, "stage": "all", "best": True, METRIC: score} for n, score in enumerate(scores, 1)]
    files: dict[str, Any] = {
        "experiment.yaml": json.dumps({**BASE, **changes.pop("experiment", {})}),
        "provenance.json": {"dataset": dataset_digest(found), "time": "2026-01-02T03:04:05+00:00"},
        "samples.jsonl": [sample.record() for sample in found],
        "metrics.jsonl": epochs,
    }
    if finished:
        summary = {"best_epoch": 1, "epochs": len(scores), "metrics": {METRIC: max(scores)}}
        names = (
            "experiment.yaml",
            "samples.jsonl",
            "checkpoints/best/model.json",
            "checkpoints/best/model.safetensors",
        )
        entries = {name: {"bytes": 1, "sha256": ABC} for name in names}
        files["manifest.json"] = {"format": 1, "summary": summary, "files": entries}
    files = {name: value for name, value in {**files, **changes.pop("files", {})}.items() if value is not None}
    return put(uri, files)


def put_report(uri: str, predicted: Mapping[str, tuple[str, str]], split: str = "test", data: str = ABC) -> None:
    """Store the report on a split, with the true and the predicted class of each image."""
    rows = [Outcome(key, true, guess, 0.9) for key, (true, guess) in predicted.items()]
    lines = [{"key": r.key, "true": r.true, "predicted": r.predicted, "probability": r.probability} for r in rows]
    put(f"{uri}/evaluation/{split}", {"report.json": {**REPORT, "data": data}, OUTCOMES: lines})
