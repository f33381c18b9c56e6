"""The finished run of the evaluation tests, and made evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raytl.assessment.section import Evidence, SplitEvidence
from raytl.config.schema import ColumnRole
from raytl.data.corruptions.suite import SUITES
from raytl.data.image_properties import with_sizes
from raytl.data.manifest import Sample
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
def run(evaluated_run: RunFolder) -> RunFolder:
    """The run of the evaluation tests with three of its six validation images as train."""
    records = journal.read(evaluated_run.samples)
    evaluated_run.samples.unlink()
    for record in records:
        is_train = record["split"] == "val" and str(record["key"]).endswith("007.jpg")
        journal.append(evaluated_run.samples, {**record, "split": "train"} if is_train else record)
    evaluated_run.write_manifest({"epochs": 1})
    return evaluated_run
