from __future__ import annotations

import numpy as np
from scipy.special import logit

from raytl.assessment.findings.context import SECTION
from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.section import Options
from raytl.data.manifest import Sample
from raytl.tasks.multilabel.findings import FINDINGS, findings
from tests.metrics.test_label_context import split

NAMES = ("dog", "leash", "sky")


def part(name: str, seed: int, lost: float, images: int = 300) -> SplitFindings:
    made = split(seed, lost, images)
    rows = logit(np.where(made.reported, 0.9, 0.1)), np.full((images, 3), 0.5, np.float32)
    samples = [Sample(f"{name}/{i}.jpg", f"/nowhere/{i}.jpg", None, name, "0" * 64) for i in range(images)]
    nothing = np.zeros((images, 0))
    return SplitFindings(
        samples,
        findings(list(made.present.astype(np.int8)), rows, NAMES),
        nothing.astype(np.float16),
        np.zeros((images, 0, 0, 3), np.uint8),
        nothing.astype(np.float32),
    )


def evidence(lost: float, images: int = 300) -> FindingEvidence:
    return FindingEvidence(
        classes=NAMES, kind=FINDINGS, val=part("val", 0, lost, images), test=part("test", 1, lost, images)
    )


def test_a_label_that_leans_on_another_is_named_with_what_to_do() -> None:
    result = SECTION(evidence(0.5), Options())
    assert result.sentences[0].startswith("'dog' is missed more often without 'leash': ")
    assert "Add images that have only one of them." in result.sentences[-2]
    assert result.tables[0].rows[0][:2] == ("dog", "missed without leash")
    assert result.json["pairs"][0]["confirmed"] and result.json["compared"] == 12


def test_nothing_is_claimed_without_a_difference_or_without_images() -> None:
    assert SECTION(evidence(0.0), Options()).sentences[0] == "No label is shown to depend on another."
    assert SECTION(evidence(0.5, 30), Options()).sentences[0].startswith("Too few images to compare")
