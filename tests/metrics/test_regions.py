from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from raytl.metrics.regions import MIN_PIXELS, contradictions, edges, regions
from raytl.metrics.segmentation import VOID
from tests.metrics.test_segmentation import maps

Map = NDArray[np.uint8]
SIDE = 40


def blank(side: int = SIDE) -> Map:
    return np.zeros((side, side), np.uint8)


def sure(each: Map, value: float = 0.8) -> NDArray[np.float32]:
    return np.full(each.shape, value, np.float32)


def test_regions_are_found_if_half_of_them_is_covered_and_linked_to_what_covers_them() -> None:
    truth, predicted = blank(), blank()
    truth[2:8, 2:8] = 1  # covered for the most part
    truth[20:26, 20:26] = 1  # missed
    predicted[3:8, 2:9] = 1
    predicted[30:34, 2:12] = 2  # invented
    true, drawn = regions(truth, predicted, sure(truth), left_out=(0,))
    assert true.label.tolist() == [1, 1] and true.area.tolist() == [36, 36]
    assert true.is_shared.tolist() == [True, False] and true.partner.tolist() == [1, -1]
    assert true.boxes.tolist() == [[2, 2, 8, 8], [20, 20, 26, 26]]
    assert drawn.label.tolist() == [2, 1], "the largest first"
    assert drawn.is_shared.tolist() == [False, True] and drawn.partner.tolist() == [-1, 0]
    assert drawn.other.tolist() == [0, 1] and drawn.shared.tolist() == [0, 30]


def test_the_confidence_of_an_answer_is_that_of_all_of_it_and_of_a_true_region_that_of_what_is_shared() -> None:
    truth, predicted = blank(), blank()
    truth[0:4, 0:4] = 1
    predicted[0:4, 0:8] = 1
    predicted[20:24, 0:4] = 1
    confidence = sure(truth, 0.5)
    confidence[0:4, 0:4], confidence[20:24, 0:4] = 0.9, 0.7
    true, drawn = regions(truth, predicted, confidence, left_out=(0,))
    assert true.confidence == pytest.approx([0.9])
    assert drawn.confidence == pytest.approx([0.7, 0.7]), "not what the truth would choose"


def test_void_has_no_regions_and_tiny_ones_are_left_out() -> None:
    truth, predicted = blank(), blank()
    truth[5:15, 5:15], truth[5:15, 10:15], truth[30, 30 : 30 + MIN_PIXELS - 1] = 1, VOID, 1
    predicted[5:15, 5:15] = 1
    true, drawn = regions(truth, predicted, sure(truth), left_out=(0,))
    assert true.area.tolist() == [50] and drawn.area.tolist() == [50]
    assert len(regions(blank(), blank(), sure(blank()), left_out=(0,))[0]) == 0


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    truth = blank()
    truth[0:4, 0:4], truth[4:8, 4:8] = 1, 1
    assert regions(truth, truth, sure(truth), left_out=(0,))[0].area.tolist() == [32]


def test_of_very_many_regions_the_largest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.metrics.regions.MAX_REGIONS", 5)
    truth = blank()
    truth[::4, ::4], truth[1::4, ::4], truth[::4, 1::4], truth[1::4, 1::4] = 1, 1, 1, 1
    truth[:3, :2] = 1
    true, _ = regions(truth, truth, sure(truth), left_out=(0,))
    assert true.area.tolist() == [6, 4, 4, 4, 4]


@pytest.mark.parametrize("seed", range(4))
def test_all_pixels_that_are_known_are_in_one_region_and_agree_with_scipy(seed: int) -> None:
    (truth,), (predicted,) = maps(1, seed)
    true, drawn = regions(truth, predicted, sure(truth))
    for each, labels in ((true, truth), (drawn, np.where(truth == VOID, np.uint8(VOID), predicted))):
        for label in range(4):
            numbers, _ = ndimage.label(labels == label, np.ones((3, 3)))
            areas = [a for a in np.bincount(numbers.ravel())[1:].tolist() if a >= MIN_PIXELS]
            assert sorted(each.area[each.label == label].tolist()) == sorted(areas)
            assert each.shared[each.label == label].sum() <= ((truth == label) & (predicted == label)).sum()
    assert len(true.partner) == len(true) and drawn.partner.max(initial=-1) < len(true)


def test_confident_answers_that_contradict_a_region_are_named_and_outlines_are_not() -> None:
    truth, predicted = blank(60), blank(60)
    truth[10:30, 10:30] = 1
    predicted[11:31, 11:31] = 1  # the same thing, a pixel off
    predicted[40:50, 40:52] = 2  # perhaps not annotated
    found, given = contradictions(truth, predicted, sure(truth, 0.95), 0.9)
    assert found.label.tolist() == [2] and given.tolist() == [0]
    assert found.boxes.tolist() == [[40, 40, 52, 50]] and found.confidence == pytest.approx([0.95])
    assert len(contradictions(truth, predicted, sure(truth, 0.85), 0.9)[0]) == 0
    truth[40:50, 40:52] = VOID
    assert len(contradictions(truth, predicted, sure(truth, 0.95), 0.9)[0]) == 0


def test_wrong_pixels_are_counted_near_boundaries_and_elsewhere() -> None:
    truth = blank()
    truth[:, 20:] = 1
    predicted = truth.copy()
    predicted[:, 20], predicted[0:3, 0:3] = 0, 1
    near, near_wrong, far, far_wrong = edges(truth, predicted).tolist()
    assert near == 4 * SIDE, "two pixels on each side: at the boundary, and one away"
    assert (near_wrong, far_wrong) == (SIDE, 9) and near + far == SIDE**2
    assert edges(blank(), blank()).tolist() == [0, 0, SIDE**2, 0]
    truth[:] = VOID
    assert edges(truth, predicted).tolist() == [0, 0, 0, 0]
