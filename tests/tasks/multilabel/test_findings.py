from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from raytl.data.manifest import Sample
from raytl.data.targets import Labels
from raytl.evaluation.findings import in_order
from raytl.metrics.findings import BACKGROUND, CORRECT, Findings, image_sums
from raytl.metrics.multilabel import facts, image_f1
from raytl.tasks.multilabel.findings import LEAST, findings, unknown_labels

CLASSES = ("a", "b", "c")
THRESHOLDS = np.array([0.5, 0.3, 0.9], np.float32)
VECTORS = np.array([[1, 0, -1], [0, 1, 1], [0, 0, 0]], np.int8)
TABLE = np.array([[0.9, 0.4, 0.7], [0.02, 0.005, 0.8], [0.001, 0.2, 0.95]])


def made() -> Findings:
    rows = logit(TABLE).astype(np.float32), np.tile(THRESHOLDS, (3, 1))
    return findings(list(VECTORS), rows, CLASSES)


def test_known_labels_that_are_not_nearly_excluded_are_findings() -> None:
    result = made()
    assert list(zip(result.image.tolist(), result.label.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 2),
    ]  # fmt: skip
    assert result.error.tolist() == [CORRECT, BACKGROUND, BACKGROUND, CORRECT, BACKGROUND, BACKGROUND]
    assert result.confidence == pytest.approx(TABLE[result.image, result.label], abs=1e-6)
    assert result.confidence.min() >= LEAST and result.boxes.shape == (6, 0)


def test_labels_that_are_reported_at_a_low_probability_are_findings() -> None:
    thresholds = np.tile(np.array([0.5, 0.004, 0.9], np.float32), (3, 1))
    result = findings(list(VECTORS), (logit(TABLE).astype(np.float32), thresholds), CLASSES)
    place = np.flatnonzero((result.image == 1) & (result.label == 1))
    assert result.reported[place].tolist() == [True] and result.error[place].tolist() == [CORRECT]
    assert image_sums(result)[:, 1].tolist() == [2, 1, 2], "those that its F1 counts"


def test_a_finding_names_the_label_that_it_finds_and_misses_are_counted_at_the_thresholds() -> None:
    result, wanted = made(), made().wanted
    assert list(zip(wanted.image.tolist(), wanted.label.tolist(), strict=True)) == [(0, 0), (1, 1), (1, 2)]
    assert result.truth.tolist() == [0, -1, -1, 2, -1, -1]
    assert wanted.confidence == pytest.approx([0.9, 0.005, 0.8], abs=1e-6), "also below the least probability"
    assert result.missed.tolist() == [False, True, True]
    assert result.reported.tolist() == [True, True, False, False, False, True]


def test_the_score_of_an_image_is_its_f1() -> None:
    expected = image_f1(facts(VECTORS, TABLE, THRESHOLDS))
    assert made().score == pytest.approx(expected) and expected.tolist() == pytest.approx([2 / 3, 0, 0])


def test_the_annotations_say_which_labels_are_unknown() -> None:
    samples = [
        Sample("0.jpg", "0.jpg", Labels(("a",), ("c",))),
        Sample("1.jpg", "1.jpg", Labels(("b", "c"))),
        Sample("2.jpg", "2.jpg", Labels(())),
    ]
    assert np.array_equal(unknown_labels(samples, CLASSES), VECTORS == -1)
    turned = in_order(made(), np.array([2, 1, 0]))
    assert np.array_equal(made().unknown, VECTORS == -1) and np.array_equal(turned.unknown, VECTORS[::-1] == -1)
