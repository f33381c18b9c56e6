"""Every section on made evidence: its conclusions, its schema, and the extremes of classes and images."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest

from raytl.assessment.model_card import model_card
from raytl.assessment.page import page
from raytl.assessment.report import Assessment
from raytl.assessment.section import Evidence, Options, SectionResult, SplitEvidence
from raytl.assessment.sections import NEEDS_PHOTOS, SECTIONS, check_aims, chosen
from raytl.assessment.texts import percent
from raytl.errors import UserError
from raytl.metrics.aim import Aim, aims, texts
from raytl.metrics.intervals import Interval
from raytl.models.card import Card
from raytl.run.ledger import LedgerEntry
from raytl.run.plain import plain
from raytl.tasks.registry import task_named
from tests.assessment.conftest import MakeEvidence
from tests.evaluation.test_evidence import CARD

BY_NAME = {section.name: section for section in SECTIONS if section.name not in NEEDS_PHOTOS}


def assessed(evidence: Evidence, *options_aims: Aim) -> Assessment:
    """Return a report without files."""
    options = Options(options_aims)
    results = {name: section(evidence, options) for name, section in BY_NAME.items()}
    card: Card = replace(CARD, classes=evidence.classes)
    look = LedgerEntry(1, "me", "2026-01-01T00:00:00+00:00", CARD.digest)
    scores = {"accuracy": Interval(0.9, 0.8, 0.95)}
    return Assessment("demo", card, look, False, {"val": 1, "test": 1}, scores, results, "/nowhere")


def validated(result: Assessment) -> dict[str, Any]:
    """Return report.json, checked against its schema."""
    value: dict[str, Any] = plain(result.to_json())
    schema = json.loads(files("raytl.assessment").joinpath("report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


@pytest.mark.parametrize(("classes", "images"), [(2, 12), (3, 200), (40, 200), (60, 20)])
def test_reports_of_few_and_many_classes_fit_their_schema(
    make_evidence: MakeEvidence, classes: int, images: int
) -> None:
    evidence = make_evidence(images, images, images, classes=classes)
    value = validated(assessed(evidence, Aim(0.9), Aim(0.9, "c1")))
    assert set(value["sections"]) == set(BY_NAME)
    assert all(each["sentences"] for each in value["sections"].values())


@pytest.mark.parametrize("width", [4.05, 12.0])
def test_charts_are_drawn_for_phones_and_wide_windows(make_evidence: MakeEvidence, width: float) -> None:
    for section in BY_NAME.values():
        for figure in section(make_evidence(60, 60, 60), Options()).figures:
            assert figure.draw(width).axes


def test_a_class_without_validation_images_is_named_and_not_certified(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(120, 120, 120)
    val = evidence.val
    rows = np.flatnonzero(val.targets != 2)
    part = replace(
        val,
        samples=[val.samples[i] for i in rows],
        targets=val.targets[rows],
        logits=val.logits[rows],
        features=val.features[rows],
        thumbnails=val.thumbnails[rows],
        properties=val.properties[rows],
    )
    result = assessed(replace(evidence, val=part), Aim(0.5, "c2"))
    validated(result)
    assert "c2 (0)" in result.sections["sets"].warnings[0]
    assert result.unmet == (
        "Aim not met: Recall of 'c2' at least 50 %: not with 0 validation images of the class; 9 error-free ones would do.",
    )


def test_an_aim_that_is_certified_and_confirmed_is_met(make_evidence: MakeEvidence) -> None:
    result = assessed(make_evidence(1000, 1000, 50), Aim(0.6))
    assert result.unmet == ()
    assert "60 % right of what is answered: from confidence" in result.sections["thresholds"].sentences[0]


def test_a_threshold_that_test_contradicts_is_not_met(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(1000, 1000)
    wrong = replace(evidence.test, targets=(evidence.test.targets + 1) % 3)
    result = BY_NAME["thresholds"](replace(evidence, test=wrong), Options((Aim(0.6),)))
    assert result.unmet and result.sentences[0].endswith("Test contradicts it.")


def test_an_aim_for_a_class_without_test_images_is_not_met(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(1000, 300)
    rows = np.flatnonzero(evidence.test.targets != 2)
    test = replace(
        evidence.test,
        samples=[evidence.test.samples[i] for i in rows],
        targets=evidence.test.targets[rows],
        logits=evidence.test.logits[rows],
        features=evidence.test.features[rows],
    )
    result = BY_NAME["thresholds"](replace(evidence, test=test), Options((Aim(0.5, "c2"),)))
    assert result.unmet[0].endswith("No test image can confirm it.")


def test_promises_about_groups_say_so_and_need_groups(make_evidence: MakeEvidence) -> None:
    evidence, section = make_evidence(val=400, test=400), BY_NAME["thresholds"]

    def grouped(count: int) -> Evidence:
        val, test = (replace(each, groups=np.arange(400) % count) for each in (evidence.val, evidence.test))
        return replace(evidence, val=val, test=test, columns={"patient": "group"})

    many, few = (section(grouped(count), Options((Aim(0.5),))) for count in (200, 8))
    assert "on average over 200 groups of images of validation" in many.sentences[0] and not many.unmet
    assert "Images of a group (patient) are not independent" in many.sentences[-1]
    assert "groups of images in validation; 8 without an error would do" in few.unmet[0]
    assert "patient" not in " ".join(section(evidence, Options()).sentences)


def test_empty_sets_are_named(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(1000, 1000, sharpness=50.0)
    right = [replace(split, targets=split.predicted) for split in (evidence.val, evidence.test)]
    result = BY_NAME["sets"](replace(evidence, val=right[0], test=right[1]), Options())
    assert "is empty" in result.sentences[1] and result.json["sets"][0]["empty"] > 0
    assert result.json["sets"][2]["empty"] == 0


def test_names_of_classes_cannot_change_the_page_or_the_card(make_evidence: MakeEvidence) -> None:
    evidence = replace(make_evidence(40, 40, 40), classes=("<script>alert(1)</script>", "$x^{", "a|b\n# c"))
    result = assessed(evidence)
    result = replace(result, sections={"thresholds": result.sections["thresholds"]})
    assert "<script>alert" not in page(result)
    assert "\n# c" not in model_card(result)


def test_overconfidence_is_reported_as_such(make_evidence: MakeEvidence) -> None:
    result = BY_NAME["calibration"](make_evidence(sharpness=3.0), Options())
    assert result.sentences[0].startswith("The probabilities are not calibrated on test (p = 0.001)")


def test_a_temperature_that_validation_does_not_support_is_a_warning(make_evidence: MakeEvidence) -> None:
    evidence = replace(make_evidence(sharpness=1.0), temperature=1.0001)
    assert BY_NAME["calibration"](evidence, Options()).warnings
    supported: SectionResult = BY_NAME["calibration"](replace(make_evidence(), temperature=3.0), Options())
    assert not supported.warnings and supported.json["temperature"] == 3.0
    assert "(95 % profile-likelihood interval " in supported.sentences[1]


def test_images_of_a_new_kind_are_flagged(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(200, 200, 200)
    noise = np.random.default_rng(0).normal(size=evidence.test.features.shape).astype(np.float16)
    near = BY_NAME["unfamiliar"](evidence, Options()).json["test_flagged"]
    far = BY_NAME["unfamiliar"](replace(evidence, test=replace(evidence.test, features=noise)), Options()).json[
        "test_flagged"
    ]
    assert near[1] <= 0.05 <= near[2] and far[0] > 0.8


@pytest.mark.parametrize("train", [None, 0])
def test_without_train_or_features_the_distance_is_not_measured(make_evidence: MakeEvidence, train: int | None) -> None:
    evidence = make_evidence(50, 50, 50)
    bare = replace(evidence.val, features=evidence.val.features[:, :0])
    given = replace(evidence, train=None) if train is None else replace(evidence, val=bare)
    assert BY_NAME["unfamiliar"](given, Options()).sentences[0].startswith("Not measured")


@pytest.mark.parametrize("text", ["accuracy", "accuracy>=1", "accuracy>=x", "f1>=0.9", ">=0.5"])
def test_an_aim_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(UserError, match="--require"):
        aims([text], [], ("a",))


def test_a_class_may_have_any_name() -> None:
    assert aims([], ["a >= b>=0.9"], ("a >= b",)) == (Aim(0.9, "a >= b"),)


def test_an_aim_from_python_may_be_one_text_but_no_number() -> None:
    wrong: Any = 0.9
    with pytest.raises(UserError, match="--require 0.9: expected NAME>=FRACTION"):
        aims([wrong], [], ("a",))
    assert texts("a>=0.9") == texts(["a>=0.9"]) == ("a>=0.9",)


def test_a_task_without_sections_says_that_the_report_does_not_apply() -> None:
    task: Any = task_named("detection")
    bare = replace(task, sections=())
    with pytest.raises(UserError, match="raytl report does not apply to detection"):
        chosen(bare, None)
    with pytest.raises(
        UserError, match="--sections 'sets': this section does not apply to detection; expected no section"
    ):
        chosen(bare, ["sets"])


def test_aims_without_the_section_that_checks_them_are_an_error() -> None:
    task = task_named("classification")
    with pytest.raises(UserError, match="--require, --recall: found aims, and --sections without thresholds"):
        check_aims(task, chosen(task, ["sets"]), ["accuracy>=0.9"])
    check_aims(task, chosen(task, ["sets"]), [])
    check_aims(task, chosen(task, ["thresholds"]), ["accuracy>=0.9"])


def test_one_validation_image_has_no_standard_error(make_evidence: MakeEvidence) -> None:
    result = BY_NAME["calibration"](replace(make_evidence(1, 9), temperature=1.2), Options())
    assert result.sentences[1].endswith("cross-fitted gain +0.0000 nats an image (1 validation image).")


def copies(each: SplitEvidence, groups: bool) -> SplitEvidence:
    """Return the split with four copies of each image, which are one group, or pass for independent images."""
    rows = np.repeat(np.arange(len(each)), 4)
    columns = {
        name: getattr(each, name)[rows] for name in ("targets", "logits", "features", "thumbnails", "properties")
    }
    return replace(each, samples=[each.samples[i] for i in rows], groups=rows if groups else None, **columns)


def test_intervals_and_chance_are_those_of_groups(make_evidence: MakeEvidence) -> None:
    evidence = replace(make_evidence(60, 60, 60), temperature=1.2)
    names = ("calibration", "thresholds", "sets", "unfamiliar")

    def results(groups: bool) -> dict[str, SectionResult]:
        test, val = (copies(each, groups) for each in (evidence.test, evidence.val))
        grouped = replace(evidence, val=val, test=test, columns={"patient": "group"} if groups else {})
        return {name: BY_NAME[name](grouped, Options()) for name in names}

    alone, grouped = results(groups=False), results(groups=True)

    def widths(name: str, *keys: str | int) -> tuple[float, float]:
        found: Any = (alone[name].json, grouped[name].json)
        for key in keys:
            found = tuple(each[key] for each in found)
        low, high = ("low", "high") if isinstance(found[0], dict) else (1, 2)
        return tuple(each[high] - each[low] for each in found)

    for path in (
        ("calibration", "temperature_on_validation"),
        ("sets", "sets", 0, "test_coverage"),
        ("unfamiliar", "test_flagged"),
    ):
        few, many = widths(*path)
        assert many > 1.4 * few, path
    errors = [each["calibration"].json["cross_fitted_gain"]["standard_error"] for each in (alone, grouped)]
    assert errors[1] > 1.4 * errors[0]
    highs = [each["calibration"].json["splits"]["test"]["calibrated"]["ece"]["high"] for each in (alone, grouped)]
    assert highs[1] > 1.4 * highs[0]
    assert "err by groups as this one does show" in grouped["calibration"].sentences[0]
    assert "on 240 images of 60 groups" in grouped["calibration"].sentences[0]
    assert "err by groups" in grouped["calibration"].figures[0].caption
    assert all("without intervals" in each.caption for each in grouped["thresholds"].figures)
    assert all(np.isnan(each["low"]) for each in grouped["thresholds"].json["coverage"]["test"])
    assert all("exact 95 %" in each.caption for each in alone["thresholds"].figures)
    for section in (*alone.values(), *grouped.values()):
        for figure in section.figures:
            assert figure.draw(7.0).axes


def test_a_fraction_of_groups_is_not_rounded(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(200, 30, classes=2)
    val, test = (replace(each, groups=np.arange(len(each)) // 10) for each in (evidence.val, evidence.test))
    rows = BY_NAME["thresholds"](replace(evidence, val=val, test=test), Options()).tables[0].rows
    for number, row in enumerate(rows):
        own = [test.correct[(test.groups == group) & (test.targets == number)] for group in range(3)]
        assert row[1].startswith(f"{percent(float(np.mean([each.mean() for each in own])))} ("), (
            "no whole number of groups"
        )
