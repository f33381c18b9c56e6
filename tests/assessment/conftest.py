"""The finished run of the evaluation tests, and made evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raytl.assessment.section import Evidence, SplitEvidence
from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.config.schema import ColumnRole
from raytl.data.corruptions.suite import SUITES
from raytl.data.image_properties import with_sizes
from raytl.data.manifest import Sample
from raytl.data.samples import SAMPLE_FORMAT
from raytl.evaluation.evaluate import evaluate
from raytl.run import RunFolder, journal
from raytl.run.atomic import write_text
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
    thumbnails = draw.integers(60, 180, (count, 32, 32, 3)).astype(np.uint8)
    properties = with_sizes(draw.normal(size=(count, 5)), [(640, 480)] * count)
    return SplitEvidence(
        samples, targets, (sharpness * logits).astype(np.float32), features.astype(np.float16), thumbnails, properties
    )


@pytest.fixture(autouse=True)
def small_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the camera's suite read noise and the dark: all thirteen take a second for each report."""
    monkeypatch.setitem(SUITES, "camera", (SUITES["camera"][0], SUITES["camera"][4]))


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


def with_column(
    evidence: Evidence, name: str, role: ColumnRole, values: Callable[[SplitEvidence], list[str]]
) -> Evidence:
    """Return the evidence with one more column, whose values are made from each split."""

    def of(part: SplitEvidence | None) -> Any:
        if part is None:
            return None
        cells = zip(part.samples, values(part), strict=True)
        return replace(part, samples=[replace(s, columns=(*s.columns, (name, value))) for s, value in cells])

    return replace(
        evidence,
        val=of(evidence.val),
        test=of(evidence.test),
        train=of(evidence.train),
        columns={**evidence.columns, name: role},
    )


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


@pytest.fixture
def grouped(run: RunFolder) -> RunFolder:
    """The run with five of seven test images of each class in train, each image of one of two sites; evaluated once."""
    experiment = load_experiment(run.experiment)
    values = {"data.uri": f"{experiment.data.uri}/photos.csv", "data.columns": {"site": "group"}, "train.epochs": 1}
    experiment = override(experiment, {**values, "transfer.head_first": 0})
    write_text(run.experiment, to_yaml(experiment))
    samples = journal.read(run.samples, SAMPLE_FORMAT)
    run.samples.unlink()
    for place, sample in enumerate(samples):
        is_train = sample.split == "test" and sample.key[-7:-4] > "001"
        columns = (("site", f"s{place % 2}"),)
        journal.append(
            run.samples, replace(sample, columns=columns, split="train" if is_train else sample.split).record()
        )
    run.write_manifest({"epochs": 1})
    evaluate(run.root, resamples=20)
    return run
