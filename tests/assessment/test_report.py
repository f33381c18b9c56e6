from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from raytl.assessment.report import report
from raytl.errors import RunError, UserError
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.evidence import EVIDENCE
from raytl.events import Recorder, Work
from raytl.run import RunFolder, journal

SOME = ("calibration", "unfamiliar")


def test_a_report_is_one_whole_folder_and_reads_no_test_image(run: RunFolder) -> None:
    evaluate(run.root, resamples=20)
    for record in journal.read(run.samples):
        if record["split"] == "test":
            Path(record["path"]).unlink()
    ledger, watcher = run.ledger.read_bytes(), Recorder()
    result = report(run.root, sections=SOME, on_event=watcher)
    assert run.ledger.read_bytes() == ledger
    assert result.images["test"] == 21 and result.images["val"] == result.images["train"] == 3
    names = {path.name for path in (run.evaluation / "report").iterdir()}
    assert names >= {"report.html", "report.json", "MODEL_CARD.md", "reliability-band.png"}
    assert not [name for name in names if name.startswith(".")]
    page = (run.evaluation / "report" / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|url\(\s*["']?https?:|@import""", page)
    assert len(page) < 5 << 20
    assert [event for event in watcher.events if isinstance(event, Work)][-1] == Work(
        "report", len(result.sections), len(result.sections), "sections"
    )
    assert run.verify() == []
    for record in journal.read(run.samples):
        Path(record["path"]).unlink(missing_ok=True)
    assert report(run.root, sections=SOME).to_json() == result.to_json(), "train and validation are scored once"
    assert (
        json.loads((run.evaluation / "report" / "report.json").read_text())["sections"].keys() == result.sections.keys()
    )


def test_a_run_that_was_not_evaluated_says_so(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"test split was not evaluated yet; .* Run `raytl evaluate") as raised:
        report(run.root)
    assert raised.value.exit_code == 2


def test_an_evaluation_without_evidence_needs_another_look(run: RunFolder) -> None:
    evaluate(run.root, resamples=20)
    (run.evaluation / "test" / EVIDENCE).unlink()
    with pytest.raises(RunError, match=r"stored no evidence.safetensors, .* --again`"):
        report(run.root)
    evaluate(run.root, again=True, resamples=20)
    assert report(run.root, sections=["sets"]).look.look == 2


def test_other_sections_and_aims_are_rejected_at_once(run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"--sections colour: no such section; expected calibration"):
        report(run.root, sections=["colour"])
    with pytest.raises(UserError, match=r"--require 'accuracy>2'.*\n--recall 'mauve>=0.9': there is no 'mauve'"):
        report(run.root, require=["accuracy>2"], recall=["mauve>=0.9"])
