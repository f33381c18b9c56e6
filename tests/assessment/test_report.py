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


def test_a_report_is_one_whole_folder_and_reads_no_test_image(run: RunFolder) -> None:
    evaluate(run.root, resamples=20)
    for record in journal.read(run.samples):
        if record["split"] == "test":
            Path(record["path"]).unlink()
    ledger, watcher = run.ledger.read_bytes(), Recorder()
    result = report(run.root, on_event=watcher)
    assert run.ledger.read_bytes() == ledger
    assert result.images["test"] == 21 and result.images["val"] == 6
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


def test_validation_is_scored_once(run: RunFolder) -> None:
    evaluate(run.root, resamples=20)
    first = report(run.root)
    for record in journal.read(run.samples):
        Path(record["path"]).unlink()
    assert report(run.root).to_json() == first.to_json()
    assert (
        json.loads((run.evaluation / "report" / "report.json").read_text())["sections"].keys() == first.sections.keys()
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
    assert report(run.root).look.look == 2


def test_other_sections_and_aims_are_rejected_at_once(run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"--sections colour: no such section; expected calibration"):
        report(run.root, sections=["colour"])
    with pytest.raises(UserError, match=r"--require 'accuracy>2'.*\n--recall 'mauve>=0.9': there is no 'mauve'"):
        report(run.root, require=["accuracy>2"], recall=["mauve>=0.9"])
