from __future__ import annotations

from dataclasses import replace

import numpy as np

from raytl.assessment.fairness import SECTION
from raytl.assessment.section import Evidence, Options, SplitEvidence
from tests.assessment.conftest import MakeEvidence, with_column


def _evidence(make: MakeEvidence, odds: float) -> Evidence:
    """Return answers that are wrong for the group `dark` with `odds`, else in one of ten cases."""

    def answered(part: SplitEvidence, seed: int) -> SplitEvidence:
        rate = np.where(np.array(part.column("skin")) == "dark", odds, 0.1)
        wrong = np.random.default_rng(seed).random(len(part)) < rate
        return replace(part, logits=(5 * np.eye(3)[(part.targets + wrong) % 3]).astype(np.float32))

    evidence = with_column(
        make(val=400, test=400), "skin", "fairness", lambda part: ["dark", "light", "light"] * 133 + [""]
    )
    return replace(evidence, val=answered(evidence.val, 1), test=answered(evidence.test, 2))


def test_a_gap_that_test_confirms_is_named_with_all_rates(make_evidence: MakeEvidence) -> None:
    result = SECTION(_evidence(make_evidence, 0.4), Options())
    assert result.sentences[0].startswith("skin = dark: ") and len(result.sentences) == 1
    assert [row[:3] for row in result.tables[0].rows] == [("skin", "dark", "133"), ("skin", "light", "266")]
    assert result.json["gaps"][0]["p"] < 0.05


def test_equal_groups_have_no_confirmed_gap(make_evidence: MakeEvidence) -> None:
    result = SECTION(_evidence(make_evidence, 0.1), Options())
    assert result.sentences[0].startswith("No gap between groups is confirmed on test; 2 groups")


def test_without_a_column_it_says_how_to_name_one(make_evidence: MakeEvidence) -> None:
    assert "data.columns" in SECTION(make_evidence(), Options()).sentences[0]
