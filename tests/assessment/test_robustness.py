"""The section names what breaks the model first, where it is overconfident, and what the tests cannot show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.assessment.report import report
from raytl.assessment.robustness import SECTION
from raytl.assessment.section import Options, SectionResult
from raytl.errors import UserError
from raytl.evaluation.corrupted import EXAMPLE_PX, CorruptedAnswers
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.robustness import judged
from raytl.metrics.confusion import Ints
from raytl.run import RunFolder
from raytl.run.plain import encode
from tests.assessment.conftest import MakeEvidence

TARGETS = np.arange(60) % 3
EXAMPLES = np.full((3, EXAMPLE_PX, EXAMPLE_PX, 3), 90, np.uint8)


def section_of(
    make_evidence: MakeEvidence, wrong: list[int], count: int = 60, groups: Ints | None = None
) -> SectionResult:
    """Return the section of answers of which so many are wrong: unchanged, then three severities of noise and of the dark."""
    versions = []
    for number in wrong:
        predicted = TARGETS[:count].copy()
        predicted[:number] = (predicted[:number] + 1) % 3
        versions.append(4.0 * np.eye(3)[predicted])
    logits, keys = np.stack(versions).astype(np.float32), tuple(map(str, range(count)))
    result = judged(CorruptedAnswers("camera", keys, logits, EXAMPLES), TARGETS[:count], groups)
    return SECTION(replace(make_evidence(val=20, test=20), robustness=result), Options())


def test_what_breaks_the_model_first_is_named_with_its_amount(make_evidence: MakeEvidence) -> None:
    section = section_of(make_evidence, [2, 2, 4, 30, 2, 20, 40])
    assert section.sentences[0] == (
        "Dark breaks the model first, at severity 2 (exposure in stops: -3): 96.7 % right unchanged, 66.7 % then "
        "(corrected p < 0.001)."
    )
    assert section.sentences[1] == "Accuracy falls by more than chance at severity 2: dark; at severity 3: read noise."
    assert "6 exact tests" in section.sentences[2] and "a loss of 7 photos" in section.sentences[2]
    assert section.sentences[3].startswith(
        "Most overconfident under dark at severity 3: 96.5 % confident, 33.3 % right"
    )
    rows = section.tables[0].rows
    assert rows[0][0] == "read noise" and rows[0][2:5] == ("96.7 %", "93.3 %", "50 %*") and rows[0][-1] == "3"
    assert section.warnings == ()
    json.loads(encode(dict(section.json)))


def test_photos_of_few_groups_cannot_show_a_loss(make_evidence: MakeEvidence) -> None:
    of_ten, of_two = (section_of(make_evidence, [0, 0, 0, 60, 0, 0, 0], groups=np.arange(60) % n) for n in (10, 2))
    assert of_ten.sentences[0].startswith("Read noise breaks the model first, at severity 3")
    assert "60 validation photos of 10 groups" in of_ten.sentences[2]
    assert "a loss of photos in 7 groups or more" in of_ten.sentences[2] and not of_ten.warnings
    assert of_two.sentences[0].startswith("No corruption is shown to lower accuracy")
    assert of_two.warnings[0].startswith("The tests need a loss in 7 groups, and the photos are of 2: ")
    assert "95 % intervals over groups" in of_two.figures[0].caption and of_two.json["groups"] == 2


def test_the_groups_of_a_run_are_those_of_its_photos(grouped: RunFolder) -> None:
    assert report(grouped.root, sections=["robustness"]).sections["robustness"].json["groups"] == 2


def test_a_model_that_nothing_breaks_is_not_accused(make_evidence: MakeEvidence) -> None:
    section = section_of(make_evidence, [2] * 7)
    assert section.sentences[0] == "No corruption is shown to lower accuracy, up to severity 3 of 2 kinds."
    assert section.sentences[-1] == "No corruption makes the model overconfident by more than chance."


def test_too_few_photos_are_a_warning(make_evidence: MakeEvidence) -> None:
    section = section_of(make_evidence, [0, 0, 0, 5, 0, 0, 5], count=5)
    assert section.warnings[0].startswith("5 photos are right unchanged, and the tests need a loss of 7")


def test_the_chart_has_a_panel_for_each_corruption_and_the_sheet_a_row(make_evidence: MakeEvidence) -> None:
    section = section_of(make_evidence, [2, 2, 4, 30, 2, 20, 40])
    figure = section.figures[0].draw(8.0)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["read noise", "dark"]
    assert panels[0].get_xlabel() == "severity" and panels[0].get_ylabel() == "fraction (0 to 1)"
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= {"right (95 % interval)", "confidence"}
    sheet = np.asarray(section.pictures[0].image)
    assert sheet.shape[0] > 2 * 150 and sheet.shape[1] > 4 * 150
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50


def test_a_report_has_the_section_its_pictures_and_no_new_look(run: RunFolder) -> None:
    evaluate(run.root, resamples=20)
    ledger = run.ledger.read_bytes()
    result = report(run.root, sections=["robustness"], photos=2)
    folder = Path(result.folder)
    assert result.sections["robustness"].json["images"] == 2
    with Image.open(folder / "corruptions.png") as sheet:
        assert sheet.width > 600
    assert (folder / "robustness.png").exists() and run.ledger.read_bytes() == ledger
    assert 'src="data:image/jpeg;base64,' in (folder / "report.html").read_text()
    assert json.loads((folder / "report.json").read_text())["sections"]["robustness"]["figures"] == [
        "robustness.png",
        "corruptions.png",
    ]


def test_quick_leaves_it_out_and_options_without_effect_are_refused(run: RunFolder) -> None:
    evaluate(run.root, resamples=20)
    assert "robustness" not in report(run.root, quick=True).sections
    with pytest.raises(UserError, match="--sections robustness: --quick leaves it out"):
        report(run.root, quick=True, sections=["robustness"])
    with pytest.raises(UserError, match="--suite and --photos: no section of this report corrupts photos"):
        report(run.root, quick=True, suite="camera", photos=3)
    with pytest.raises(UserError, match="suite 'weather': there is no such suite; expected one of camera, imagenet-c"):
        report(run.root, suite="weather")
    with pytest.raises(UserError, match="--photos: found 0; expected 1 or more"):
        report(run.root, photos=0)
