from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np

from raytl.assessment.section import Evidence, Options
from raytl.assessment.suspects import SECTION
from tests.assessment.conftest import MakeEvidence


def _flipped(make: MakeEvidence) -> tuple[Evidence, set[str]]:
    """Return evidence whose training labels are wrong in 5 % of cases, and the keys of those."""
    evidence = make(train=200, val=40)
    train = evidence.train
    assert train is not None
    wrong = np.random.default_rng(0).choice(200, 10, replace=False)
    targets = train.targets.copy()
    targets[wrong] = (targets[wrong] + 1) % 3
    sure = replace(evidence.val, logits=(5 * np.eye(3)[evidence.val.targets]).astype(np.float32))
    return replace(evidence, train=replace(train, targets=targets), val=sure), {train.samples[i].key for i in wrong}


def test_most_of_the_first_suspects_are_the_flipped_labels(make_evidence: MakeEvidence) -> None:
    evidence, wrong = _flipped(make_evidence)
    result = SECTION(evidence, Options())
    rows = list(csv.DictReader(result.files["suspects.csv"].splitlines()))
    first = [row["image"] for row in rows[:10]]
    assert len(wrong & set(first)) >= 6
    assert {row["split"] for row in rows} == {"train"}
    assert result.figures[0].draw(7.0).axes
    assert len(result.json["suspects"]) == len(rows)
    assert "a classifier of its features agrees with 9" in result.sentences[-1]


def test_a_quick_report_looks_at_validation_alone(make_evidence: MakeEvidence) -> None:
    evidence, _ = _flipped(make_evidence)
    result = SECTION(replace(evidence, train=None), Options(quick=True))
    assert result.sentences == ("No label of 40 validation images is suspect.",)
    assert not result.figures and not result.tables


def test_names_that_a_spreadsheet_would_run_are_inert(make_evidence: MakeEvidence) -> None:
    evidence, _ = _flipped(make_evidence)
    result = SECTION(replace(evidence, classes=("=1+1", "b", "c")), Options())
    assert "'=1+1" in result.files["suspects.csv"] and ",=1+1" not in result.files["suspects.csv"]


def test_answers_that_are_mostly_wrong_suspect_no_label(make_evidence: MakeEvidence) -> None:
    evidence, _ = _flipped(make_evidence)
    guessed = replace(evidence.val, logits=np.zeros((40, 3), np.float32))
    result = SECTION(replace(evidence, val=guessed), Options())
    assert any(text.startswith("Validation images: cannot tell which labels are wrong") for text in result.sentences)
    assert {each["split"] for each in result.json["suspects"]} == {"train"}
