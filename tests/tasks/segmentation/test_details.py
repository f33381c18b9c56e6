from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raytl.data.transforms import Preprocess
from raytl.tasks.segmentation.details import CONFIDENCE, details, tables
from tests.metrics.test_pixels import pixels_of

SIDE = 32
PREPROCESS = Preprocess(64, 64, "center", "bilinear", (0.5,) * 3, (0.5,) * 3).fit((SIDE, SIDE))
Map = NDArray[np.uint8]


def logits_of(predicted: Map, confidence: float, classes: int = 3) -> torch.Tensor:
    """Logits whose most probable class is the predicted one, with this confidence."""
    height = np.log(confidence / (1 - confidence) * (classes - 1))
    return torch.from_numpy(height * np.moveaxis(np.eye(classes, dtype=np.float32)[predicted], -1, 0)[None])


def scene() -> tuple[Map, Map]:
    truth, predicted = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    truth[4:12, 4:14] = 1
    predicted[4:12, 5:14], predicted[20:28, 20:30] = 1, 2
    return truth, predicted


def test_a_photo_of_the_size_of_the_view_has_the_regions_and_pixels_of_its_maps() -> None:
    truth, predicted = scene()
    bins, texts, edges, suspects = details(logits_of(predicted, 0.95), [(SIDE, SIDE)], PREPROCESS, [truth])
    expected = pixels_of(truth, predicted, np.full(truth.shape, 0.95, np.float32))
    for value, own in zip((bins, edges, suspects), expected, strict=True):
        np.testing.assert_allclose(value[0], own, rtol=1e-4)
    true, drawn = tables(texts[0])
    assert true[:, 0].tolist() == [0, 1] and drawn[:, 0].tolist() == [0, 2, 1]
    assert true[1, 1:6].tolist() == [80, 4, 4, 14, 12] and true[1, 8] == 1
    assert drawn[1, 7:].tolist() == [0, 0, round(0.95 * CONFIDENCE)]


def test_regions_are_in_the_pixels_of_the_photo_and_padding_counts_nowhere() -> None:
    truth, predicted = scene()
    photo = truth[:16].repeat(4, axis=0).repeat(4, axis=1)  # 128 x 64: it fills the upper half of the view
    bins, texts, edges, suspects = details(logits_of(predicted, 0.95), [(4 * SIDE, 2 * SIDE)], PREPROCESS, [photo])
    true, drawn = tables(texts[0])
    assert true[1, 1:6].tolist() == [80 * 16, 16, 16, 56, 48]
    assert drawn[:, 0].tolist() == [0, 1] and not suspects.any(), "the answer in the padding is not of the photo"
    assert bins[0, :, 0].sum() == edges[0, [0, 2]].sum() == SIDE * 16


def test_boxes_of_suspects_are_in_pixels_of_the_photo() -> None:
    truth, predicted = np.zeros((SIDE, 2 * SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    predicted[4:12, 8:16] = 1
    suspects = details(logits_of(predicted, 0.95), [(2 * SIDE, SIDE)], PREPROCESS, [truth])[3]
    assert suspects[0, 0, 4:].tolist() == [16, 8, 32, 24] and suspects[0, 0, 2] == pytest.approx(64 / SIDE**2 * 2)
    assert not suspects[0, 1:, 2].any()


def test_no_images_have_no_rows_of_the_same_shapes() -> None:
    empty = details(torch.zeros((0, 3, SIDE, SIDE)), [], PREPROCESS, [])
    whole = details(logits_of(scene()[1], 0.9), [(SIDE, SIDE)], PREPROCESS, [scene()[0]])
    assert [each.shape[1:] for each in empty] == [each.shape[1:] for each in whole]
    assert all(len(each) == 0 for each in empty)


def test_brief_details_are_the_bins_alone() -> None:
    truth, predicted = scene()
    given = logits_of(predicted, 0.95), [(SIDE, SIDE)], PREPROCESS, [truth]
    (bins,) = details(*given, brief=True)
    np.testing.assert_array_equal(bins, details(*given)[0])
    (empty,) = details(torch.zeros((0, 3, SIDE, SIDE)), [], PREPROCESS, [], brief=True)
    assert empty.shape == (0, 15, 3)
