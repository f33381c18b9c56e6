"""Made evidence of class maps: squares of cells and debris on a background, answered with some mistakes."""

from __future__ import annotations

from functools import cache

import numpy as np

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.data.manifest import Sample
from raytl.tasks.segmentation.details import details
from raytl.tasks.segmentation.findings import FINDINGS, findings
from raytl.tasks.segmentation.scores import evidence
from tests.tasks.segmentation.test_details import PREPROCESS, SIDE, Map, logits_of
from tests.tasks.segmentation.test_findings import CLASSES

Maps = tuple[list[Map], list[Map]]


def scenes(count: int, seed: int) -> Maps:
    """Truths, and answers that shift every thing by a pixel."""
    rng = np.random.default_rng(seed)
    truths, predicted = [], []
    for _ in range(count):
        truth = np.zeros((SIDE, SIDE), np.uint8)
        for label in (1, 2):
            y, x = rng.integers(1, SIDE - 12, 2)
            truth[y : y + 10, x : x + 10] = label
        truths.append(truth)
        predicted.append(np.roll(truth, 1, axis=1))
    return truths, predicted


def split(name: str, maps: Maps, confidence: float = 0.95, seed: int = 0) -> SplitFindings:
    """Evidence of a split, whose features say nothing."""
    truths, predicted = maps
    count = len(truths)
    rows = [
        details(logits_of(answer, confidence), [(SIDE, SIDE)], PREPROCESS, [truth])
        for answer, truth in zip(predicted, truths, strict=True)
    ]
    more = tuple(np.concatenate(column) for column in zip(*rows, strict=True))
    rng = np.random.default_rng(seed)
    return SplitFindings(
        [Sample(f"{name}/{i}.png", f"/nowhere/{name}/{i}.png", None, name, "0" * 64) for i in range(count)],
        findings(truths, (*evidence(predicted, truths), *more), CLASSES),
        rng.normal(size=(count, 8)).astype(np.float16),
        rng.integers(60, 180, (count, 32, 32, 3)).astype(np.uint8),
        rng.normal(size=(count, 7)).astype(np.float32),
    )


@cache
def map_evidence() -> FindingEvidence:
    """24 images of each split."""
    parts = {name: split(name, scenes(24, seed), seed=seed) for seed, name in enumerate(("val", "test", "train"))}
    return FindingEvidence(classes=CLASSES, kind=FINDINGS, **parts)
