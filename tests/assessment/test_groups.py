from __future__ import annotations

from dataclasses import replace

import numpy as np

from raytl.assessment.groups import SECTION
from raytl.assessment.section import Options, SplitEvidence
from tests.assessment.conftest import MakeEvidence, with_column


def _sites(part: SplitEvidence) -> list[str]:
    """Return sites of which each has mostly one class."""
    draw = np.random.default_rng(len(part))
    return [f"site {target if draw.random() < 0.8 else draw.integers(3)}" for target in part.targets]


def _tinted(part: SplitEvidence) -> SplitEvidence:
    """Return features that show the site more clearly than the class."""
    site = np.array([int(value[-1]) for value in part.column("site")])
    draw = np.random.default_rng(1)
    features = np.eye(8)[part.targets] + 4 * np.eye(8)[site + 4] + draw.normal(size=(len(part), 8))
    return replace(part, features=features.astype(np.float16))


def test_a_tint_for_each_site_is_named_as_the_gap_to_a_random_split(make_evidence: MakeEvidence) -> None:
    evidence = with_column(make_evidence(train=100, val=60), "site", "group", _sites)
    assert evidence.train is not None
    evidence = replace(evidence, train=_tinted(evidence.train), val=_tinted(evidence.val))
    result = SECTION(evidence, Options())
    assert "right on groups that were held out" in result.sentences[0] and "gap" in result.sentences[0]
    assert len(result.tables[0].rows) == 3 and result.json["gaps"][0]["p"] <= 0.05


def test_a_split_that_is_too_large_for_features_is_left_out(make_evidence: MakeEvidence) -> None:
    evidence = with_column(make_evidence(train=100, val=60), "site", "group", _sites)
    assert evidence.train is not None
    train = _tinted(evidence.train)
    large = replace(evidence.val, features=np.zeros((60, 0), np.float16))
    result = SECTION(replace(evidence, train=train, val=large), Options())
    assert sum(group["images"] for group in result.json["gaps"][0]["groups"]) <= len(train)
    none = replace(evidence, train=replace(train, features=np.zeros((100, 0), np.float16)), val=large)
    assert SECTION(none, Options()).json["gaps"] == []


def test_images_without_a_value_are_no_group(make_evidence: MakeEvidence) -> None:
    evidence = with_column(make_evidence(train=100, val=60), "site", "group", _sites)
    assert evidence.train is not None
    train = _tinted(evidence.train)
    some = [replace(each, columns=(("site", ""),)) if i % 5 == 0 else each for i, each in enumerate(train.samples)]
    result = SECTION(replace(evidence, train=replace(train, samples=some), val=_tinted(evidence.val)), Options())
    groups = result.json["gaps"][0]["groups"]
    assert {each["name"] for each in groups} == {"site 0", "site 1", "site 2"}
    assert sum(each["images"] for each in groups) == 80 + 60
    assert result.sentences[-1] == "site: 20 images without a value are of no group, and left out."


def test_one_group_cannot_be_measured(make_evidence: MakeEvidence) -> None:
    evidence = with_column(make_evidence(val=30), "site", "group", lambda part: ["a"] * len(part))
    assert SECTION(evidence, Options()).sentences[0].startswith("site: cannot be measured")


def test_without_a_column_it_says_how_to_name_one(make_evidence: MakeEvidence) -> None:
    assert "data.columns" in SECTION(make_evidence(), Options()).sentences[0]
