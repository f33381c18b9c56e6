"""Made images are compared with real ones: alike or not, of help or not, by class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raytl.labelling.synthetic import LabelledFeatures, domain_auc, synthetic_fit

CLASSES, WIDTH = 3, 8
CENTERS = np.random.default_rng(9).normal(size=(CLASSES, WIDTH)) * 1.2


def drawn(per_class: int, seed: int, shift: float = 0.0, wrong: bool = False) -> LabelledFeatures:
    rng = np.random.default_rng(seed)
    classes = np.arange(CLASSES * per_class) % CLASSES
    features = CENTERS[classes] + rng.normal(size=(len(classes), WIDTH)) + shift
    labels = (classes + 1) % CLASSES if wrong else classes
    return LabelledFeatures(torch.from_numpy(features).float(), labels)


def test_images_of_the_same_kind_cannot_be_told_apart_and_moved_ones_can() -> None:
    rng = np.random.default_rng(0)
    assert domain_auc(drawn(80, 1), drawn(80, 2), rng) == pytest.approx(0.5, abs=0.12)
    assert domain_auc(drawn(80, 1), drawn(80, 2, shift=1.5), rng) > 0.9


def test_another_mixture_of_classes_is_no_difference_of_domains() -> None:
    made = drawn(80, 2)
    rare = made.rows(np.flatnonzero((made.classes != 0) | (np.arange(len(made.classes)) < 60)))
    assert domain_auc(drawn(80, 1), rare, np.random.default_rng(0)) == pytest.approx(0.5, abs=0.12)


def test_made_images_with_true_labels_help_where_real_ones_are_few() -> None:
    fit = synthetic_fit(drawn(4, 1), drawn(60, 2), drawn(200, 3), fraction=0.9)
    assert fit.accuracy.gain > 0
    assert fit.verdict == "they help"
    assert [(name, n) for name, n, _, _ in fit.by_class] == [(name, 200) for name in range(CLASSES)]
    weighted = sum(n * after for _, n, _, after in fit.by_class) / 600
    assert weighted == pytest.approx(fit.accuracy.after)


def test_made_images_with_wrong_labels_harm() -> None:
    fit = synthetic_fit(drawn(20, 1), drawn(60, 2, wrong=True), drawn(100, 3), fraction=0.7)
    assert fit.verdict.startswith("they harm: lower data.synthetic.share")


def test_few_made_images_of_no_use_are_no_difference() -> None:
    fit = synthetic_fit(drawn(60, 1), drawn(4, 2), drawn(40, 3), fraction=0.1)
    assert fit.verdict == "no difference beyond noise; the simpler set has no made images"
