from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from raytl.tasks.multilabel.thresholds import best_thresholds, thresholds_of


def test_no_other_threshold_has_a_higher_f1() -> None:
    rng = np.random.default_rng(0)
    for levels in (7, 1000):
        scores = rng.integers(0, levels, (15, 3)) / levels
        vectors = (rng.random((15, 3)) < [0.2, 0.5, 0.9]).astype(np.int8)
        found = best_thresholds(scores, vectors)
        for label, threshold in enumerate(found):
            reached = f1_score(vectors[:, label], scores[:, label] >= threshold)
            tried = [
                f1_score(vectors[:, label], scores[:, label] >= each, zero_division=0) for each in scores[:, label]
            ]
            assert reached == pytest.approx(max(tried))


def test_a_threshold_lies_midway_between_the_images_that_it_separates() -> None:
    assert best_thresholds([[0.9], [0.7], [0.2]], np.array([[1], [1], [0]])).tolist() == pytest.approx([0.45])


def test_of_equally_good_thresholds_the_one_nearest_to_one_half_wins() -> None:
    scores, vectors = [[0.95], [0.9], [0.8], [0.45], [0.1]], np.array([[1], [0], [0], [1], [0]])
    reached = [f1_score(vectors, np.array(scores) >= threshold) for threshold in (0.925, 0.275)]
    assert reached == pytest.approx([2 / 3, 2 / 3])
    assert best_thresholds(scores, vectors).tolist() == pytest.approx([0.275])


def test_a_label_that_no_known_image_has_gets_one_half() -> None:
    assert best_thresholds([[0.9, 0.9], [0.1, 0.1]], np.array([[0, -1], [-1, -1]])).tolist() == [0.5, 0.5]


def test_unknown_images_do_not_count() -> None:
    scores, vectors = [[0.9], [0.8], [0.2]], np.array([[1], [-1], [0]])
    assert best_thresholds(scores, vectors).tolist() == pytest.approx([0.55])


def test_neighbors_that_float32_cannot_separate_are_separated_by_the_upper_one() -> None:
    low = np.float32(0.6)
    high = np.nextafter(low, np.float32(1))
    (threshold,) = best_thresholds([[float(high)], [float(low)]], np.array([[1], [0]]))
    assert low < threshold <= high


def test_thresholds_that_were_damaged_stay_in_bounds() -> None:
    module = nn.Sequential(nn.Linear(2, 3))
    module[0].register_buffer("thresholds", torch.tensor([float("nan"), -1.0, 7.0]))
    assert thresholds_of(module).tolist() == [0.5, 0.0, 1.0]
