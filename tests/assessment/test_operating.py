from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raytl.assessment.operating import operating_points
from raytl.assessment.section import Evidence, Options
from raytl.assessment.thresholds import SECTION
from raytl.assessment.unfamiliar import SECTION as UNFAMILIAR
from raytl.assessment.unfamiliar import limit_of
from raytl.metrics.aim import Aim
from raytl.models.card import Card
from raytl.run.operating import REPORT_FOLDER, write_operating
from tests.assessment.conftest import MakeEvidence
from tests.evaluation.test_evidence import CARD

AIMS = (Aim(0.6), Aim(0.8), Aim(0.5, "c1"), Aim(0.999, "c2"))


def card_of(evidence: Evidence) -> Card:
    """Return a card for the classes of the evidence."""
    return replace(CARD, classes=evidence.classes)


def test_predictions_meet_the_aims_that_the_report_meets(make_evidence: MakeEvidence, tmp_path: Path) -> None:
    evidence = make_evidence(1000, 1000)
    points, reference = operating_points(evidence, card_of(evidence), 1, AIMS, tmp_path)
    listed = SECTION(evidence, Options(AIMS)).json["aims"]
    assert len(listed) == len(AIMS) + 6 and reference is None and points.unfamiliar is None
    for each in listed:
        promise = points.promise(Aim(each["at_least"], each["recall_of"]))
        assert (promise.certificate.threshold, promise.is_met) == (each["threshold"], each["met"])
    assert points.aims[:4] == AIMS and Aim(0.99) in points.aims
    assert {promise.is_met for promise in map(points.promise, AIMS)} == {True, False}


def test_sets_hold_the_true_class_as_often_as_they_say(make_evidence: MakeEvidence, tmp_path: Path) -> None:
    evidence = make_evidence(1000, 1000)
    points, _ = operating_points(evidence, card_of(evidence), 1, (), tmp_path)
    own = evidence.test.probabilities[np.arange(1000), evidence.test.targets]
    for level in (0.9, 0.95):
        assert np.mean(own >= points.set_probability(level)) == pytest.approx(level, abs=0.03)


def test_a_class_that_ties_with_the_cut_is_in_its_set(make_evidence: MakeEvidence, tmp_path: Path) -> None:
    evidence = make_evidence(60, 60)
    tied = np.tile(np.array([2, 2, 0], np.float32), (60, 1))  # of class 2, 1 - (1 - p) exceeds p
    flat = replace(evidence.val, logits=tied, targets=np.full(60, 2))
    points, _ = operating_points(replace(evidence, val=flat), card_of(evidence), 1, (), tmp_path)
    assert np.all(flat.probabilities[:, 2] >= points.set_probability(0.9))


def test_a_report_without_the_train_split_keeps_the_limit_of_an_earlier_one(
    make_evidence: MakeEvidence, tmp_path: Path
) -> None:
    whole = make_evidence(60, 60, 60)
    card = card_of(whole)
    first, reference = operating_points(whole, card, 1, (), tmp_path)
    assert first.unfamiliar is not None and first.unfamiliar.images == 60
    (tmp_path / REPORT_FOLDER).mkdir()
    write_operating(tmp_path / REPORT_FOLDER, first, reference)
    quick = replace(whole, train=None)
    assert operating_points(quick, card, 1, (), tmp_path) == (first, reference)
    changed = replace(card, temperature=2.0)
    assert operating_points(quick, changed, 1, (), tmp_path)[0].unfamiliar is None
    (tmp_path / REPORT_FOLDER / "reference.safetensors").write_bytes(b"")
    assert operating_points(quick, card, 1, (), tmp_path)[1] is None


def test_the_reference_has_room_for_some_images_of_each_class(
    make_evidence: MakeEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.assessment.unfamiliar.MAX_REFERENCE_BYTES", 30 * 8 * 2)
    evidence = make_evidence(200, 200, 300)
    limit = limit_of(evidence)
    assert limit is not None and np.bincount(limit.targets).tolist() == [10, 10, 10]
    flagged = UNFAMILIAR(evidence, Options()).json["test_flagged"]
    assert flagged[1] <= 0.05 <= flagged[2], "the limit is that of the smaller reference"
