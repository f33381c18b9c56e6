from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from raytl.assessment.report import report
from raytl.errors import RunError, UserError
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.evidence import EVIDENCE
from raytl.events import Recorder, Work
from raytl.registry.registry import Registry
from raytl.run import RunFolder, journal
from tests.registry.conftest import about

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
    with pytest.raises(UserError, match=r"--sections 'colour': no such section; expected calibration"):
        report(run.root, sections=["colour"])
    with pytest.raises(UserError, match=r"--require 'accuracy>2'.*\n--recall 'mauve>=0.9': there is no 'mauve'"):
        report(run.root, require=["accuracy>2"], recall=["mauve>=0.9"])


def test_aims_that_no_section_checks_are_rejected(run: RunFolder) -> None:
    with pytest.raises(UserError, match="they need the section thresholds"):
        report(run.root, sections=["sets"], require=["accuracy>=0.9"])


def test_an_interrupted_evaluation_is_named_as_such(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("raytl.evaluation.evaluate.score_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate(run.root, resamples=20)
    with pytest.raises(RunError, match="evaluation 1 of the test split was interrupted; .*, which completes it"):
        report(run.root)


@pytest.mark.parametrize("where", ["model_card", "page", "replace_dir"])
def test_an_interrupt_leaves_the_last_report(made: RunFolder, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    first = report(made.root, sections=["sets"]).to_json()
    before = {path.relative_to(made.root): path.read_bytes() for path in made.root.rglob("*") if path.is_file()}

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"raytl.assessment.report.{where}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report(made.root, sections=["calibration"])
    after = {path.relative_to(made.root): path.read_bytes() for path in made.root.rglob("*") if path.is_file()}
    assert after == before and first["sections"].keys() == {"sets"}


def test_damaged_evidence_of_validation_is_computed_again_and_of_test_is_an_error(made: RunFolder) -> None:
    report(made.root, sections=["sets"])
    stored = made.evaluation / "evidence-val" / EVIDENCE
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-9])
    report(made.root, sections=["sets"])
    assert stored.read_bytes() == whole
    (made.evaluation / "test" / EVIDENCE).write_bytes(b"\xff" * 40)
    with pytest.raises(RunError, match="cannot be read .* --again"):
        report(made.root)


@pytest.mark.s3
def test_a_run_in_a_bucket_is_reported_there_and_reads_no_test_image(
    made: RunFolder, bucket: str, s3_client: Any, own_cache: Path
) -> None:
    uri = f"s3://{bucket}/runs/demo"
    for path in made.root.rglob("*"):
        if path.is_file():
            s3_client.upload_file(str(path), bucket, f"runs/demo/{path.relative_to(made.root).as_posix()}")
    first = report(uri, sections=["sets"])
    stored = {each["Key"] for each in s3_client.list_objects_v2(Bucket=bucket, Prefix="runs/demo/evaluation")["Contents"]}
    assert {f"runs/demo/evaluation/{name}" for name in ("report/report.html", f"evidence-val/{EVIDENCE}")} <= stored
    shutil.rmtree(own_cache)
    for record in journal.read(made.samples):
        Path(record["path"]).unlink()
    assert report(uri, sections=["sets"]).to_json() == first.to_json(), "the evidence comes from the bucket"


def test_a_champion_of_a_registry_is_reported(made: RunFolder, tmp_path: Path) -> None:
    registry = Registry.open(f"memory://{tmp_path}/models/demo")
    registry.publish(made.root, about())
    registry.promote(1, registry.state(), "me", "")
    assert report(f"models:{registry.uri}@champion", sections=["sets"]).look.look == 1
