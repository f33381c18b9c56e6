"""The finished run of the evaluation tests, and made evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from raytl.assessment.section import Evidence, SplitEvidence
from raytl.data.manifest import Sample
from raytl.evaluation.evaluate import evaluate
from raytl.run import RunFolder, journal
from tests.evaluation.conftest import run as evaluated_run

__all__ = ["evaluated_run"]
MakeEvidence = Callable[..., Evidence]


def split(name: str, count: int, classes: int, seed: int, sharpness: float = 1.0) -> SplitEvidence:
    """Calibrated answers if `sharpness` is 1, overconfident ones above; features near one point for each class."""
    draw = np.random.default_rng(seed)
    logits = 2.0 * draw.normal(size=(count, classes))
    odds = np.exp(logits)
    targets = (draw.random(count)[:, None] > np.cumsum(odds / odds.sum(1, keepdims=True), 1)).sum(1)
    features = 3.0 * np.eye(classes, 8)[targets] + 0.3 * draw.normal(size=(count, 8))
    samples = [
        Sample(f"{name}/{i}.jpg", f"/nowhere/{name}/{i}.jpg", f"c{c}", name, "0" * 64) for i, c in enumerate(targets)
    ]
    return SplitEvidence(samples, targets, (sharpness * logits).astype(np.float32), features.astype(np.float16))


@pytest.fixture(scope="session")
def make_evidence() -> MakeEvidence:
    """Evidence with `val`, `test` and `train` images of `classes` classes; None leaves `train` out."""

    def make(
        val: int = 300, test: int = 300, train: int | None = None, classes: int = 3, sharpness: float = 1.0
    ) -> Evidence:
        return Evidence(
            classes=tuple(f"c{i}" for i in range(classes)),
            val=split("val", val, classes, 1, sharpness),
            test=split("test", test, classes, 2, sharpness),
            train=None if train is None else split("train", train, classes, 3, sharpness),
        )

    return make


@pytest.fixture
def run(evaluated_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run of the evaluation tests with three of its six validation images as train; its evaluation draws nothing."""
    monkeypatch.setattr("raytl.tasks.classification.reporting.pictures", lambda *_: None)
    records = journal.read(evaluated_run.samples)
    evaluated_run.samples.unlink()
    for record in records:
        is_train = record["split"] == "val" and str(record["key"]).endswith("007.jpg")
        journal.append(evaluated_run.samples, {**record, "split": "train"} if is_train else record)
    evaluated_run.write_manifest({"epochs": 1})
    return evaluated_run


@pytest.fixture
def made(run: RunFolder) -> RunFolder:
    """The run, with its test split evaluated once."""
    evaluate(run.root, resamples=20)
    return run
