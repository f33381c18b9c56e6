"""Made findings: a detector on images with objects of three classes and sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.data.image_properties import with_sizes
from raytl.data.manifest import Sample
from raytl.data.targets import Box, Boxes
from raytl.metrics.findings import Findings
from raytl.tasks.findings import FindingKind
from raytl.tasks.registry import task_named
from tests.metrics.coco import Image
from tests.metrics.test_scene_findings import of

CLASSES = ("c0", "c1", "c2")
SIDES = (20, 60, 150)


def kind() -> FindingKind:
    """Return the findings of detection."""
    result = task_named("detection").findings
    assert result is not None
    return result


def image(draw: np.random.Generator, sharpness: float, weak: bool) -> Image:
    """Return an image with objects on a grid, of which the detector finds what it is confident about; `weak` ones half."""
    count = int(draw.integers(1, 6))
    sides, labels = draw.choice(SIDES, count), draw.integers(0, 3, count)
    corners = np.stack([200.0 * np.arange(count), np.zeros(count)], axis=1)
    truths = np.concatenate([corners, corners + sides[:, None]], axis=1)
    chance = draw.uniform(0.3, 0.95, count)
    is_found = draw.random(count) < (chance if not weak else 0.3 * chance)
    away = np.where(is_found[:, None], truths, truths + np.array([0, 1000, 0, 1000]))
    return Image(truths, labels, [False] * count, away, np.clip(0.5 + sharpness * (chance - 0.5), 0.05, 1), labels)


def split(name: str, count: int, seed: int, sharpness: float = 1.0, weak: int = 0) -> SplitFindings:
    """Return a split whose findings are right as often as their confidence if `sharpness` is 1; the first `weak` images are
    dark, and less is found there."""
    draw = np.random.default_rng(seed)
    images = [image(draw, sharpness, i < weak) for i in range(count)]
    findings: Findings = of(images, 3)
    scores = np.array([_f1(findings, i) for i in range(count)])
    samples = [
        Sample(
            f"{name}/{i}.jpg", f"/nowhere/{name}/{i}.jpg", Boxes(1000, 200, (Box("c0", 0, 0, 9, 9),)), name, "0" * 64
        )
        for i in range(count)
    ]
    pixels = draw.normal(size=(count, 5))
    pixels[:weak, 0] -= 100
    return SplitFindings(
        samples,
        replace(findings, score=scores),
        draw.normal(size=(count, 8)).astype(np.float16),
        draw.integers(60, 180, (count, 32, 32, 3)).astype(np.uint8),
        with_sizes(pixels, [(640, 480)] * count),
    )


def _f1(findings: Findings, place: int) -> float:
    mine = findings.image == place
    hits = float((findings.correct & findings.reported & mine).sum())
    calls = float((findings.reported & mine).sum()) + float((findings.wanted.image == place).sum())
    return 2 * hits / calls if calls else 1.0


def evidence(val: int = 120, test: int = 120, sharpness: float = 1.0, weak: float = 0.0) -> FindingEvidence:
    """Return the evidence of both splits; of each, the fraction `weak` is dark."""
    parts = [split(name, n, seed, sharpness, int(weak * n)) for name, n, seed in (("val", val, 1), ("test", test, 2))]
    return FindingEvidence(CLASSES, kind(), *parts)
