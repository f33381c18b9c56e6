"""Every section of findings on made evidence: its conclusions, its schema, and the extremes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.model_card import model_card
from raytl.assessment.page import page
from raytl.assessment.report import Assessment
from raytl.assessment.section import Options, SectionResult
from raytl.assessment.sections import FINDING_SECTIONS, NEEDS_PHOTOS, check_aims, chosen
from raytl.data.corruptions.suite import suite_named
from raytl.errors import UserError
from raytl.evaluation.corrupted import EXAMPLE_PX, CorruptedAnswers
from raytl.evaluation.robustness import judged_scores
from raytl.metrics.aim import Aim
from raytl.metrics.findings import BACKGROUND
from raytl.metrics.intervals import Interval
from raytl.run.ledger import LedgerEntry
from raytl.tasks.registry import task_named
from tests.assessment.findings.made import evidence
from tests.assessment.test_sections import validated
from tests.evaluation.test_evidence import CARD

BY_NAME = {
    section.name: section
    for section in FINDING_SECTIONS
    if section.name in task_named("detection").sections and section.name not in NEEDS_PHOTOS
}


def assessed(given: FindingEvidence, *aims: Aim) -> Assessment:
    """Return a report without files."""
    results = {name: section(given, Options(aims)) for name, section in BY_NAME.items()}
    card = replace(CARD, classes=given.classes, task="detection")
    look = LedgerEntry(1, "me", "2026-01-01T00:00:00+00:00", CARD.digest)
    return Assessment("demo", card, look, False, {"val": 1}, {"map": Interval(0.5, 0.4, 0.6)}, results, "/nowhere")


def nothing(given: FindingEvidence) -> FindingEvidence:
    """Return the evidence of a model that reports nothing on test, where nothing is to be found."""
    from tests.metrics.test_scene_findings import of

    empty = of([_blank() for _ in given.test.samples], 3)
    return replace(given, test=replace(given.test, findings=empty))


def _blank() -> Any:
    from tests.metrics.coco import Image as Scene

    return Scene([], [], [], [], [], [])


@pytest.mark.parametrize("count", [1, 40])
def test_reports_fit_their_schema(count: int) -> None:
    value = validated(assessed(evidence(count, count), Aim(0.9), Aim(0.9, "c1")))
    assert set(value["sections"]) == set(BY_NAME)
    assert all(each["sentences"] for each in value["sections"].values())


def test_a_split_without_objects_and_findings_is_reported_too() -> None:
    value = validated(assessed(nothing(evidence(5, 5)), Aim(0.9)))
    assert value["sections"]["calibration"]["sentences"] == ["The model reports no detection on test."]
    assert value["sections"]["sizes"]["sentences"][0] == "The test split has no objects."


def test_the_page_and_the_card_are_those_of_a_detector() -> None:
    result = assessed(evidence(20, 20))
    assert "Errors by size and class" in page(result)
    card = model_card(result)
    assert 'pipeline_tag: "object-detection"' in card and "It reports any number of detections of 3 classes" in card


@pytest.mark.parametrize("width", [4.05, 12.0])
def test_charts_are_drawn_for_phones_and_wide_windows(width: float) -> None:
    for section in BY_NAME.values():
        for figure in section(evidence(30, 30), Options()).figures:
            assert figure.draw(width).axes


def test_overconfidence_is_named_and_calibrated_findings_are_not_accused() -> None:
    sharp = BY_NAME["calibration"](evidence(sharpness=2.0), Options())
    assert sharp.sentences[0].startswith("The confidence is not calibrated on test (p = 0.001)")
    fair = BY_NAME["calibration"](evidence(), Options())
    assert fair.sentences[0].startswith("No evidence of miscalibration")
    assert fair.tables[1].rows[0][0] == "c0"


def test_calibration_is_not_judged_from_findings_of_a_few_images() -> None:
    few = BY_NAME["calibration"](evidence(40, 5, sharpness=2.0), Options())
    assert few.sentences[0].startswith("Calibration is not judged: ") and "there are 5" in few.warnings[0]
    assert not BY_NAME["calibration"](evidence(40, 40), Options()).warnings


def test_equal_thresholds_are_not_called_worse_and_nothing_right_has_no_best_one() -> None:
    given, section = evidence(40, 40), BY_NAME["thresholds"]
    sure = [
        replace(part, findings=replace(part.findings, confidence=np.ones(len(part.findings))))
        for part in (given.val, given.test)
    ]
    text = " ".join(section(replace(given, val=sure[0], test=sure[1]), Options()).sentences)
    assert "reports the same" in text and "On test it is worse" not in text
    wrong = replace(given.val.findings, error=np.full(len(given.val.findings), BACKGROUND))
    assert section(replace(given, val=replace(given.val, findings=wrong)), Options()).json["best_f1"] is None


def test_a_class_is_said_to_be_missed_only_if_something_is() -> None:
    given = evidence(40, 40)
    found = replace(given.test.findings.wanted, confidence=np.ones(len(given.test.findings.wanted)))
    test = replace(given.test, findings=replace(given.test.findings, wanted=found))
    result = BY_NAME["sizes"](replace(given, test=test), Options())
    assert "missed most often" not in " ".join(result.sentences)
    assert all(each["recall"]["low"] < 1 for each in result.json["sizes"]), "40 images do not prove that all are found"


def test_things_of_unknown_size_are_counted() -> None:
    given = evidence(20, 20)
    unknown = replace(given.test.findings.wanted, size=np.full(len(given.test.findings.wanted), -1))
    test = replace(given.test, findings=replace(given.test.findings, wanted=unknown))
    assert (
        BY_NAME["sizes"](replace(given, test=test), Options()).sentences[0].endswith("objects on test are not found.")
    )


def test_a_required_precision_is_certified_or_named_as_not_met() -> None:
    section = BY_NAME["thresholds"]
    met = section(evidence(400, 200), Options((Aim(0.5), Aim(0.1, "c2"))))
    assert met.unmet == () and re.match(r"Precision at least 50 %: from confidence 0\.\d+ on", met.sentences[0])
    unmet = section(evidence(30, 30), Options((Aim(0.99),)))
    assert unmet.unmet[0].startswith("Aim not met: Precision at least 99 %: not certified with these validation images")


def test_the_worst_size_class_and_error_are_named() -> None:
    result = BY_NAME["sizes"](evidence(), Options())
    assert re.match(
        r"\d+ of \d+ objects on test are not found\. Found are .* small ones, .* medium ones and .* large",
        result.sentences[0],
    )
    assert result.sentences[1].endswith("100 % background.")
    assert [row[0] for row in result.tables[0].rows] == ["small", "medium", "large"]
    totals = [sum(each["wanted"].values()) for each in result.json["sizes"]]
    assert sum(totals) == len(evidence().test.findings.wanted)


def test_a_dark_part_that_scores_lower_is_confirmed() -> None:
    result = BY_NAME["slices"](evidence(200, 200, weak=0.3), Options())
    assert result.sentences[0].startswith("brightness = below") and "F1" in result.sentences[0]
    assert "slices.csv" in result.files
    assert "No slice with a lower F1 is confirmed" in BY_NAME["slices"](evidence(200, 200), Options()).sentences[0]


def test_suspects_are_listed_with_crops_of_their_photos() -> None:
    given = evidence(30, 30)
    photo = Image.new("RGB", (1000, 200), (120, 120, 120))
    opened: list[str] = []

    def open_photos(samples: Any) -> list[Image.Image | None]:
        opened.extend(sample.split for sample in samples)
        return [photo] * (len(samples) - 1) + [None]

    result = BY_NAME["suspects"](given, Options(open_photos=open_photos))
    assert set(opened) == {"val"} and result.pictures[0].image.width > 600
    lines = result.files["suspects.csv"].splitlines()
    assert lines[0].startswith("split,image,kind,annotated,found,score") and len(lines) == 1 + len(
        result.json["suspects"]
    )
    assert BY_NAME["suspects"](given, Options()).pictures == ()


def robustness(scores: list[list[float]], reported: int = 4, groups: int | None = None) -> SectionResult:
    """Return the section of scores of 40 photos of so many groups, unchanged and at the severities of read noise and of the dark."""
    table = np.repeat(np.array(scores, np.float32), 40 // len(scores[0]), axis=1)
    table = np.stack(
        [table, np.full_like(table, reported), np.full_like(table, 0.8 * reported), np.round(reported * table)], axis=2
    )
    examples = np.full((3, EXAMPLE_PX, EXAMPLE_PX, 3), 90, np.uint8)
    answers = CorruptedAnswers("camera", tuple(map(str, range(table.shape[1]))), table, examples)
    section = next(each for each in FINDING_SECTIONS if each.name == "robustness")
    owners = None if groups is None else np.arange(table.shape[1]) % groups
    result = judged_scores(answers, suite_named("camera", has_places=True), owners)
    return section(replace(evidence(20, 20), robustness=result), Options())


def test_a_model_that_reports_nothing_is_not_called_robust_without_a_warning() -> None:
    assert robustness([[1.0, 0.0]] * 7, reported=0).warnings == (
        "The model reports no detection in the unchanged photos: nothing that it finds can be lost.",
    )


def test_a_detector_on_photos_of_two_groups_is_not_called_broken() -> None:
    scores = [[0.8, 0.9]] * 5 + [[0.5, 0.6], [0.1, 0.2]]
    assert robustness(scores).sentences[0].startswith("Dark breaks the model first")
    section = robustness(scores, groups=2)
    assert section.sentences[0].startswith("No corruption is shown") and "photos of 2 groups" in section.sentences[1]
    assert section.warnings[0].startswith("The tests need 7 groups of photos, and there are 2: ")
    assert "bootstrap intervals over groups of photos" in section.figures[0].caption


def test_what_breaks_a_detector_is_named_and_drawn() -> None:
    section = robustness([[0.8, 0.9], [0.8, 0.9], [0.8, 0.9], [0.8, 0.9], [0.8, 0.8], [0.5, 0.6], [0.1, 0.2]])
    assert section.sentences[0].startswith(
        "Dark breaks the model first, at severity 1 (exposure in stops: -1.5): F1 85 %"
    )
    assert section.sentences[1].startswith(
        "The F1 falls by more than chance at severity 1: dark. No loss is shown for read"
    )
    assert section.sentences[-1] == (
        "Most overconfident under dark at severity 3: 80 % confident, 12.5 % right (unchanged 80 % and 87.5 %)."
    )
    assert section.figures[0].draw(8.0).axes and section.pictures[0].image.height > 300
    harmless = robustness([[0.8, 0.9]] * 7).sentences
    assert "No corruption is shown to lower the F1" in harmless[0] and harmless[-1].startswith(
        "No corruption is shown to make"
    )


def test_sections_that_do_not_apply_are_refused_with_those_that_do() -> None:
    task = task_named("detection")
    assert [each.name for each in chosen(task, None, quick=True)] == [name for name in BY_NAME if name != "fairness"]
    with pytest.raises(
        UserError, match="'sets': this section does not apply to detection; expected calibration, thresholds, sizes"
    ):
        chosen(task, ["sets"])
    with pytest.raises(UserError, match="'sizes': this section does not apply to classification"):
        chosen(task_named("classification"), ["sizes"])


def test_aims_of_a_task_without_thresholds_are_refused() -> None:
    with pytest.raises(UserError, match="no section checks aims of segmentation; expected none"):
        check_aims(task_named("segmentation"), (), ["cat>=0.9"])
