from __future__ import annotations

from dataclasses import replace

import numpy as np

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.findings.fairness import SECTION
from raytl.assessment.section import Options
from tests.assessment.findings.test_context import evidence


def grouped(loss: float) -> FindingEvidence:
    """Evidence of two groups of images; the images of group B score lower by `loss`."""

    def of(part: SplitFindings) -> SplitFindings:
        is_b = np.arange(len(part)) % 3 == 0
        samples = [
            replace(sample, columns=(("skin", "B" if b else "A"),))
            for sample, b in zip(part.samples, is_b, strict=True)
        ]
        score = np.random.default_rng(len(part.samples[0].key)).uniform(0.4, 0.9, len(part)) - loss * is_b
        return replace(part, samples=samples, findings=replace(part.findings, score=score))

    made = evidence(0.0)
    return replace(made, val=of(made.val), test=of(made.test), columns={"skin": "fairness"})


def test_a_group_that_scores_lower_is_named() -> None:
    result = SECTION(grouped(0.2), Options())
    assert result.sentences[0].startswith("skin = B: ") and result.json["gaps"][0]["group"] == "skin = B"
    (first, second) = result.json["groups"]
    assert first["score"][0] > second["score"][0] + 0.1 and first["images"] == 200
    assert result.tables[0].rows[1][:3] == ("skin", "B", "100")


def test_equal_groups_have_no_gap() -> None:
    assert (
        SECTION(grouped(0.0), Options()).sentences[0].startswith("No gap between groups is confirmed on test; 2 groups")
    )
