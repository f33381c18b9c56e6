"""Average precision equals that of pycocotools and faster-coco-eval, over any draw of images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from raytl.metrics.average_precision import NAMES, Facts, facts, joined_facts, measure
from raytl.metrics.draws import values
from raytl.metrics.intervals import estimates
from raytl.metrics.paired import Paired, paired_by_images
from tests.metrics.coco import STATS, Image, random_images, reference
from tests.metrics.same import assert_same

CLASSES = 3


def facts_of(images: list[Image]) -> Facts:
    return facts([image.scene() for image in images], CLASSES)


def stats(images: list[Image]) -> dict[str, np.ndarray]:
    return values(partial(measure, facts_of(images)), len(images))


def assert_like_the_references(images: list[Image]) -> None:
    mine = stats(images)
    slow, fast, by_class = reference(images, CLASSES)
    ours = np.array([mine[name] for name in STATS])
    assert np.where(np.isnan(ours), -1, ours) == pytest.approx(slow, abs=1e-12)
    assert np.where(np.isnan(ours), -1, ours) == pytest.approx(fast, abs=1e-12)
    assert np.where(np.isnan(mine["ap"]), -1, mine["ap"]) == pytest.approx(by_class, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_all_twelve_numbers_equal_those_of_the_references(seed: int) -> None:
    assert_like_the_references(random_images(4 + 4 * seed, CLASSES, seed, ties=seed % 2 == 0))


def test_many_objects_and_more_than_a_hundred_detections_equal_the_references() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 400, (130, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 60, (130, 2))], axis=1).round(1)
    image = Image(boxes[:40], [0] * 40, [False] * 40, boxes, rng.random(130).round(2), [0] * 130)
    assert_like_the_references([image])


def test_every_recall_reaches_the_same_levels_as_in_the_references() -> None:
    """Of n objects, k are detected: k / n is compared with rounded levels such as 0.35000000000000003."""
    for objects, hits in [(20, 7), (100, 29), (100, 57), (50, 35), (3, 1)]:
        boxes = np.array([[20 * n, 0, 20 * n + 10, 10] for n in range(objects)], dtype=float)
        image = Image(boxes, [0] * objects, [False] * objects, boxes[:hits], np.linspace(0.9, 0.1, hits), [0] * hits)
        assert_like_the_references([image])


def test_a_score_without_objects_is_undefined_and_not_minus_one() -> None:
    box = [[0, 0, 10, 10]]
    mine = stats([Image(box, [0], [False], box, [0.5], [0]), Image([], [], [], box, [0.9], [1])])
    assert np.isnan(mine["map_large"]) and np.isnan(mine["ap"][1:]).all()
    assert mine["map"] == mine["ap"][0] == mine["map_small"] == pytest.approx(1.0)


def test_no_objects_at_all_and_no_detections_at_all() -> None:
    box = [[0, 0, 10, 10]]
    assert np.isnan(stats([Image([], [], [], box, [0.9], [1])])["map"])
    assert np.isnan(stats([Image([], [], [], [], [], [])])["ar_100"])
    assert stats([Image(box, [0], [False], [], [], [])])["map"] == 0


def test_a_crowd_is_neither_a_hit_nor_a_miss_and_takes_any_number_of_detections() -> None:
    box = [[0, 0, 10, 10]]
    crowd = Image([*box, [100, 100, 300, 300]], [0, 0], [False, True], [*box, [110, 110, 140, 140], [150, 150, 180, 180]], [0.5, 0.9, 0.8], [0] * 3)  # fmt: skip
    assert stats([crowd])["map"] == pytest.approx(1.0)
    assert_like_the_references([crowd])


def test_a_draw_scores_as_the_images_that_it_repeats() -> None:
    images = random_images(12, CLASSES, 5, ties=False)
    draws = np.random.default_rng(0).integers(0, 12, size=(6, 12))
    drawn = measure(facts_of(images), draws)
    for row, draw in enumerate(draws):
        copies = stats([images[n] for n in np.sort(draw)])
        assert_same({name: drawn[name][row] for name in NAMES}, copies)


def test_a_few_names_have_the_same_values_as_all() -> None:
    images = random_images(12, CLASSES, 6)
    draws = np.random.default_rng(0).integers(0, 12, size=(5, 12))
    everything = measure(facts_of(images), draws)
    for name in NAMES:
        np.testing.assert_array_equal(measure(facts_of(images), draws, (name,))[name], everything[name])


def test_the_intervals_have_the_scores_as_their_values() -> None:
    images = random_images(20, CLASSES, 7)
    mine = stats(images)
    intervals = estimates(partial(measure, facts_of(images)), len(images), resamples=200)
    assert set(intervals) == set(NAMES)
    for name, each in intervals.items():
        assert [interval.value for interval in each] == pytest.approx(np.atleast_1d(mine[name]).tolist(), nan_ok=True)
    assert intervals["map"][0].low < intervals["map"][0].value < intervals["map"][0].high


def test_joined_facts_contain_both_models() -> None:
    before, after = random_images(15, CLASSES, 8), random_images(15, CLASSES, 8, noise=0.02)
    both = joined_facts(facts_of(before), facts_of(after))
    own = np.arange(15)[None]
    for draws, images in ((own, before), (own + 15, after)):
        measured = {name: score[0] for name, score in measure(both, draws).items()}
        assert_same(measured, stats(images))


def comparison(before: list[Image], after: list[Image]) -> Paired:
    both = joined_facts(facts_of(before), facts_of(after))
    return paired_by_images(partial(measure, both, names=("map",)), len(before), "map", resamples=200)


def test_a_better_model_has_an_interval_above_zero() -> None:
    """The second model finds the same objects with less error."""
    gain = comparison(*(random_images(40, CLASSES, 9, noise=noise) for noise in (0.25, 0.05)))
    assert 0 < gain.low < gain.gain < gain.high
    assert gain.p_better < 0.01 < gain.p_worse and gain.gained > gain.lost


def test_an_equal_model_has_an_interval_around_zero() -> None:
    """Both models err alike and independently of each other: the second has the first's or the other errors by chance."""
    first, second = (random_images(40, CLASSES, 9, noise=noise) for noise in (0.25, 0.05))
    swap = np.random.default_rng(0).random(40) < 0.5
    gain = comparison(*([(a, b)[way] for a, b, way in zip(first, second, ways, strict=True)] for ways in (swap * 1, 1 - swap)))  # fmt: skip
    assert gain.gain != 0 and gain.low < 0 < gain.high
    assert min(gain.p_better, gain.p_worse) > 0.05


def test_the_same_model_gains_nothing_with_certainty() -> None:
    images = random_images(20, CLASSES, 9)
    same = comparison(images, images)
    assert (same.gain, same.low, same.high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert (same.p_better, same.p_worse, same.gained, same.lost) == (1, 1, 0, 0)
