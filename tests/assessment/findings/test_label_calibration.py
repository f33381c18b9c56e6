from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from raytl.assessment.findings.label_calibration import label_calibrations, label_sentences, label_table
from raytl.metrics.findings import Findings
from raytl.tasks.multilabel.findings import findings

LABELS = tuple(f"label {i}" for i in range(6))


def made(images: int, seed: int, wrong: int = 0) -> Findings:
    """Labels that are present as often as their probability says; of the first `wrong` ones half as often."""
    rng = np.random.default_rng(seed)
    table = rng.uniform(0.02, 0.98, (images, len(LABELS)))
    share = np.where(np.arange(len(LABELS)) < wrong, 0.5, 1.0)
    present = (rng.random(table.shape) < table * share).astype(np.int8)
    return findings(list(present), (logit(table), np.full((images, len(LABELS)), 0.5, np.float32)), LABELS)


def test_labels_whose_probability_is_too_high_are_named_first() -> None:
    rows = label_calibrations(made(300, 0, wrong=2), LABELS, 0)
    assert {each.name for each in rows[:2]} == set(LABELS[:2]) and all(each.is_evidence for each in rows[:2])
    (text,) = label_sentences(rows)
    assert text.startswith("The probability of 2 of 6 labels is not calibrated on test: too high for ")
    cells = label_table(rows).rows
    assert len(cells) == 6 and cells[0][-1].endswith("*")


def test_calibrated_labels_raise_no_alarm_in_nineteen_of_twenty_sets() -> None:
    alarms = [any(each.is_evidence for each in label_calibrations(made(60, seed), LABELS, seed)) for seed in range(20)]
    assert sum(alarms) <= 3, "at most 5 % are expected; 4 or more of 20 have a chance below 2 %"
    assert "No evidence" in next(label_sentences(label_calibrations(made(60, 1), LABELS, 1)))


def test_a_label_without_a_finding_is_left_out() -> None:
    result = findings([np.zeros(2, np.int8)] * 3, (np.full((3, 2), [-9.0, 0.0]), np.full((3, 2), 0.5)), ("a", "b"))
    (row,) = label_calibrations(result, ("a", "b"), 0)
    assert row.name == "b" and row.count == 3 and row.probability == pytest.approx(0.5)
