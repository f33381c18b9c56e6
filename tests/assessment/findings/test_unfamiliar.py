from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raytl.assessment.findings import unfamiliar
from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.findings.unfamiliar import SECTION
from raytl.assessment.section import Options
from tests.assessment.findings.maps import map_evidence


def strange(evidence: FindingEvidence, lost: float) -> FindingEvidence:
    """Evidence whose first six test images are far away and score lower."""

    def near(part: SplitFindings, seed: int) -> SplitFindings:
        features = np.ones((len(part), 8)) + 0.05 * np.random.default_rng(seed).normal(size=(len(part), 8))
        return replace(part, features=features.astype(np.float16))

    assert evidence.train is not None
    test = near(evidence.test, 2)
    features, score = test.features.copy(), test.findings.score.copy()
    features[:6, 0] *= -9
    score[:6] -= lost
    test = replace(test, features=features, findings=replace(test.findings, score=score))
    return replace(evidence, val=near(evidence.val, 1), test=test, train=near(evidence.train, 3))


def test_far_images_are_flagged_and_their_lower_score_is_named() -> None:
    result = SECTION(strange(map_evidence(), 0.3), Options())
    assert "On test it flags 2" in result.sentences[0] and "(difference -" in result.sentences[1]
    assert result.json["score"]["flagged"] < result.json["score"]["others"] - 0.2 and result.json["loss"][1] > 0
    assert result.sentences[2].startswith("Look at what is flagged")
    assert result.figures[0].draw(7.0).axes


def test_a_flag_without_a_loss_is_not_sold_as_one() -> None:
    result = SECTION(strange(map_evidence(), 0.0), Options())
    assert result.sentences[2].startswith("A flag is not shown to mean a worse answer")


def test_what_is_missing_is_said() -> None:
    evidence = map_evidence()
    assert "--quick" in SECTION(replace(evidence, train=None), Options()).sentences[0]
    bare = replace(evidence, val=replace(evidence.val, features=np.zeros((24, 0), np.float16)))
    assert "stored no features" in SECTION(bare, Options()).sentences[0]


def test_the_interval_of_the_loss_does_not_depend_on_the_blocks_of_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = strange(map_evidence(), 0.3)
    whole = SECTION(evidence, Options()).json["loss"]
    monkeypatch.setattr(unfamiliar, "_DRAWS_AT_ONCE", 1000)
    assert SECTION(evidence, Options()).json["loss"] == pytest.approx(whole)
