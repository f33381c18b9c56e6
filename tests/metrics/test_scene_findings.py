"""The errors of detections, by hand, as tidecv counts them, and beside the confusion and the average precision of the same scenes."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics import average_precision
from raytl.metrics.findings import BACKGROUND, CORRECT, DUPLICATE, MISPLACED, OTHER, WRONG_CLASS, Findings
from raytl.metrics.matching import confusion
from raytl.metrics.scene_findings import scene_findings
from tests.metrics.coco import Image, random_images

BOX, NEAR, FAR = [0, 0, 100, 100], [30, 0, 130, 100], [300, 300, 340, 340]
"""A box of 100 pixels, one that overlaps it by 70 of 130 (IoU 0.54), and one elsewhere."""
BESIDE = [60, 0, 160, 100]
"""Overlaps the box by 40 of 160 (IoU 0.25)."""


def of(images: list[Image], classes: int = 2, threshold: float = 0.3) -> Findings:
    return scene_findings(
        [each.scene() for each in images],
        [each.boxes.astype(np.float32) for each in images],
        [each.truths.astype(np.float32) for each in images],
        np.full(classes, threshold),
        np.ones(len(images)),
    )


@pytest.mark.parametrize(
    ("box", "label", "error", "truth"),
    [
        (NEAR, 0, CORRECT, 0),
        (BESIDE, 0, MISPLACED, 0),
        (NEAR, 1, WRONG_CLASS, 0),
        (BESIDE, 1, OTHER, 0),
        (FAR, 0, BACKGROUND, -1),
    ],
)
def test_each_error_has_its_name_and_its_object(box: list[int], label: int, error: int, truth: int) -> None:
    findings = of([Image([BOX], [0], [False], [box], [0.8], [label])])
    assert (findings.error[0], findings.truth[0]) == (error, truth)
    assert findings.wanted.confidence[0] == (0.8 if error == CORRECT else 0.0)


def test_the_second_finding_of_an_object_is_a_duplicate() -> None:
    findings = of([Image([BOX], [0], [False], [BOX, NEAR], [0.5, 0.9], [0, 0])])
    assert findings.error.tolist() == [CORRECT, DUPLICATE] and findings.confidence.tolist() == [0.9, 0.5]
    assert findings.wanted.confidence.tolist() == [0.9]


def test_crowds_and_what_lies_on_them_are_left_out() -> None:
    findings = of([Image([BOX, FAR], [0, 0], [True, False], [BOX, FAR], [0.9, 0.8], [1, 0])])
    assert findings.error.tolist() == [CORRECT] and len(findings.wanted) == 1
    assert (
        findings.truth.tolist() == [0] and findings.boxes.tolist() == [FAR] and findings.wanted.boxes.tolist() == [FAR]
    )


def test_objects_keep_their_places_over_images() -> None:
    images = [
        Image([BOX, FAR], [0, 1], [False, False], [FAR], [0.7], [1]),
        Image([FAR], [1], [False], [BOX], [0.6], [0]),
    ]
    findings = of([images[0], Image([], [], [], [], [], []), images[1]])
    assert findings.image.tolist() == [0, 2] and findings.truth.tolist() == [1, -1]
    assert findings.wanted.image.tolist() == [0, 0, 2] and findings.wanted.confidence.tolist() == [0.0, 0.7, 0.0]
    assert findings.missed.tolist() == [True, False, True] and findings.wanted.size.tolist() == [2, 1, 1]


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.8])
def test_hits_are_those_of_the_confusion_at_every_threshold(threshold: float) -> None:
    images = random_images(30, 3, seed=1, ties=False)
    findings = of(images, 3, threshold)
    hits = np.bincount(findings.label[findings.correct & findings.reported], minlength=3)
    scenes = [each.scene() for each in images]
    assert hits.tolist() == np.diag(confusion(scenes, 3, score=threshold))[:3].tolist()
    assert (~findings.missed).sum() == hits.sum()


def test_hits_are_those_of_the_average_precision() -> None:
    images = random_images(30, 3, seed=2, ties=False)
    facts = average_precision.facts([each.scene() for each in images], 3)
    assert of(images, 3).correct.sum() == facts.hit[:, 0, 0].sum()


def test_errors_are_those_of_tide() -> None:
    """tidecv 1.0.1 (`TIDERun`, thresholds 0.5 and 0.1) counts 637 box, 42 class, 55 duplicate, 94 other and 695 background errors."""
    findings = of(random_images(300, 3, seed=7, crowds=0.0, ties=False, noise=1.2), 3)
    assert np.bincount(findings.error).tolist() == [309, 637, 42, 55, 94, 695]


def test_without_images_or_detections_there_are_no_findings() -> None:
    assert len(of([])) == 0 and of([]).boxes.shape == (0, 4)
    assert len(of([Image([BOX], [0], [False], [], [], [])])) == 0
