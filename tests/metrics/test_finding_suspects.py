"""Planted mistakes of annotations are found, and each is named by its kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raytl.metrics.finding_suspects import suspect_things
from tests.metrics.coco import Image
from tests.metrics.test_scene_findings import of

BOXES = [[0, 0, 50, 50], [100, 0, 150, 50], [200, 0, 250, 50], [300, 0, 350, 50], [400, 0, 450, 50]]


def scene(truths: list[list[int]], labels: list[int], score: float = 0.9) -> Image:
    """Return an image with five things of class 0 that the model finds, annotated as given."""
    return Image(truths, labels, [False] * len(truths), BOXES, [score] * 5, [0] * 5)


def test_right_annotations_are_not_suspect() -> None:
    assert suspect_things(of([scene(BOXES, [0] * 5)] * 3)) == ()


def test_each_planted_mistake_is_named_by_its_kind() -> None:
    moved = [[30, 0, 80, 50], *BOXES[1:]]
    images = [
        scene(BOXES[:4], [0] * 4),
        scene(BOXES, [1, 0, 0, 0, 0]),
        scene(moved, [0] * 5),
        scene([*BOXES, [500, 500, 550, 550]], [0] * 6),
        scene([*BOXES, [2, 0, 52, 50]], [0] * 6),
        *[scene(BOXES, [0] * 5)] * 9,
    ]
    things = suspect_things(of(images))
    assert {(each.kind, each.image) for each in things} == {
        ("missing", 0), ("other class", 1), ("drawn badly", 2), ("not there", 3), ("annotated twice", 4),
    }  # fmt: skip
    assert [each.score for each in things] == sorted((each.score for each in things), reverse=True)
    assert all(0.5 <= each.score <= 1 for each in things)


def test_a_thing_is_listed_once() -> None:
    twice = Image(BOXES[:1], [1], [False], [BOXES[0], BOXES[0]], [0.9, 0.8], [0, 0])
    assert [each.wanted for each in suspect_things(of([twice]))] == [0]


def test_what_the_model_mostly_misses_is_not_suspect() -> None:
    images = [scene([*BOXES, [500, 500, 506, 506]], [0] * 6)] * 4
    assert suspect_things(of(images)) == ()


def test_without_findings_nothing_is_suspect() -> None:
    assert suspect_things(of([])) == ()
    assert np.isfinite(
        [each.score for each in suspect_things(of([Image(BOXES, [0] * 5, [False] * 5, [], [], [])]))]
    ).all()


def test_a_stored_contradiction_of_nothing_is_not_listed() -> None:
    findings = of([scene([[30, 0, 80, 50]], [0])])
    nowhere = replace(findings, truth=np.full(len(findings), -1), wanted=of([Image([], [], [], [], [], [])]).wanted)
    assert suspect_things(nowhere) == ()
