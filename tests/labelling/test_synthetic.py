"""Made images are compared with real ones: alike or not, of help or not, by class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raytl.labelling import synthetic
from raytl.labelling.synthetic import LabelledFeatures, domain_auc, synthetic_fit
from raytl.metrics.paired import paired_classes

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


@pytest.mark.parametrize("real_ones", [0, 1, 9])
def test_few_real_images_of_a_made_class_do_not_tell_whether_they_look_alike(real_ones: int) -> None:
    real, made = drawn(80, 1), drawn(80, 2)
    made = made.rows(np.flatnonzero(made.classes == 2))
    real = real.rows(np.concatenate([np.flatnonzero(real.classes == 2)[:real_ones], np.flatnonzero(real.classes < 2)]))
    fit = synthetic_fit(real, made, drawn(40, 3), fraction=0.3)
    assert fit.auc is None
    assert fit.accuracy.after > fit.accuracy.before - 0.05


def test_the_real_images_of_a_rare_made_class_are_compared_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "LARGEST", 60)
    real, made = drawn(400, 1), drawn(80, 2, shift=1.5)
    made = made.rows(np.flatnonzero(made.classes == 2))
    real = real.rows(np.concatenate([np.flatnonzero(real.classes == 2)[:20], np.flatnonzero(real.classes < 2)]))
    fit = synthetic_fit(real, made, drawn(40, 3), fraction=0.3)
    assert fit.auc is not None and fit.auc > 0.9


def test_the_note_says_what_cannot_be_told() -> None:
    paired = paired_classes(np.zeros(9, np.int64), np.zeros(9, np.int64), np.zeros(9, np.int64), "accuracy")
    note = synthetic.in_words(synthetic.SyntheticFit(None, paired, ((0, 9, 1.0, 1.0),)), ["red"], "data.synthetic")
    assert note.startswith("data.synthetic: cannot tell whether made images look like real ones: fewer than 10 real")


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
