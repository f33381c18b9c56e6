"""Pseudo-labels in rounds."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.labelling import pseudo
from raytl.labelling.pseudo import fitted, learned, pseudo_labelled
from tests.labelling.blobs import blobs


def test_separate_clusters_get_their_labels() -> None:
    features, classes = blobs(30, count=3, spread=1.0)
    answers = pseudo_labelled(features, classes[:6], 3, fraction=0.8)
    assert answers.shape == (84, 3)
    assert (answers.argmax(axis=1) == classes[6:]).mean() > 0.95
    assert np.allclose(answers.sum(axis=1), 1)


def test_one_round_is_the_classifier_alone() -> None:
    features, classes = blobs(20, count=3, spread=2.0)
    answers = pseudo_labelled(features, classes[:9], 3, fraction=0.8, rounds=1)
    assert np.array_equal(answers, learned(features[:9], classes[:9], 3, features[9:]))


def test_a_class_without_a_labelled_image_gets_none() -> None:
    features, classes = blobs(20, count=3, spread=1.0)
    known = np.flatnonzero(classes < 2)[:8]
    answers = learned(features[known], classes[known], 3, features)
    assert (answers.argmax(axis=1) < 2).all()


def test_many_images_are_thinned_and_certain_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudo, "MOST_IMAGES", 20)
    features, classes = blobs(30, count=3, spread=1.0)
    rows = fitted(features, classes, 3, certain=8)[1]
    assert 20 <= len(rows) <= 22
    assert rows[:8].tolist() == list(range(8))
    assert 20 <= len(fitted(features, classes, 3, certain=50)[1]) <= 22


def test_a_rare_class_of_many_images_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudo, "MOST_IMAGES", 20)
    features, classes = blobs(60, count=3, spread=1.0)
    rare = np.flatnonzero((classes != 2) | (np.arange(len(classes)) == 101))  # one image of class 2
    answers = learned(features[rare], classes[rare], 3, features)
    assert (answers.argmax(axis=1) == classes).mean() > 0.9
