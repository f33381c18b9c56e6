from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.assessment.report import report
from raytl.errors import DiskError, RunError, UserError
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.evidence import EVIDENCE
from raytl.events import Recorder, Work
from raytl.registry.registry import Registry
from raytl.run import RunFolder, journal
from raytl.run.operating import OperatingPoints, read_operating
from raytl.run.run_store import RunStore
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
    assert names >= {"report.html", "report.json", "MODEL_CARD.md", "reliability-band.png", "operating.json"}
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
    stored = json.loads((run.evaluation / "report" / "report.json").read_text())
    assert stored["sections"].keys() == result.sections.keys()
    again = report(run.root, sections=["unfamiliar"]).to_json()["sections"]["unfamiliar"]
    assert again == result.to_json()["sections"]["unfamiliar"], "train and validation are scored once"


def test_the_operating_points_of_a_run_with_groups_count_groups(
    made: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def points() -> OperatingPoints | None:
        report(made.root, sections=SOME)
        return read_operating(made.evaluation)

    images = points()
    assert images is not None and not images.of_groups
    monkeypatch.setattr("raytl.assessment.collect.group_columns", lambda _: ("patient",))
    monkeypatch.setattr("raytl.assessment.collect.kept_together", lambda samples, _: np.arange(len(samples)) % 2)
    groups = points()
    assert groups is not None and groups.of_groups
    assert max(groups.answers.test.images) == 2 < max(images.answers.test.images)


def test_a_run_that_was_not_evaluated_says_so(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"test split was not evaluated yet; .* Run `raytl evaluate") as raised:
        report(run.root)
    assert raised.value.exit_code == 2


def test_an_evaluation_without_evidence_needs_another_look(made: RunFolder) -> None:
    (made.evaluation / "test" / EVIDENCE).unlink()
    with pytest.raises(RunError, match=r"stored no evidence.safetensors, .* --again`"):
        report(made.root)


@pytest.mark.thorough
def test_a_report_on_another_look_names_it(made: RunFolder) -> None:
    evaluate(made.root, again=True, resamples=20)
    assert report(made.root, sections=["sets"]).look.look == 2


def test_other_sections_and_aims_are_rejected_at_once(run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"--sections 'colour': no such section; expected calibration"):
        report(run.root, sections=["colour"])
    with pytest.raises(UserError, match=r"--require 'accuracy>2'.*\n--recall 'mauve>=0.9': there is no 'mauve'"):
        report(run.root, require=["accuracy>2"], recall=["mauve>=0.9"])


def test_aims_that_no_section_checks_are_rejected(run: RunFolder) -> None:
    with pytest.raises(UserError, match="--sections without thresholds"):
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


@pytest.mark.parametrize(
    "where",
    ["page", *(pytest.param(each, marks=pytest.mark.thorough) for each in ("model_card", "replace_dir"))],
)
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


def test_a_run_that_cannot_be_written_is_an_error_before_anything_is_scored(
    made: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("raytl.assessment.report.drafted", refused)
    monkeypatch.setattr("raytl.assessment.report.collected", lambda *_: pytest.fail("nothing is scored"))
    with pytest.raises(DiskError, match="evaluation/report: the file system is read-only"):
        report(made.root)


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


@pytest.mark.parametrize("place", ["memory", pytest.param("bucket", marks=[pytest.mark.s3, pytest.mark.thorough])])
def test_a_run_in_a_bucket_is_reported_there_and_reads_no_test_image(
    made: RunFolder, place: str, own_cache: Path, request: pytest.FixtureRequest
) -> None:
    base = f"memory://{own_cache}" if place == "memory" else f"s3://{request.getfixturevalue(place)}"
    run_store = RunStore(f"{base}/runs/demo")
    shutil.copytree(made.root, run_store.folder.root)
    run_store.push_all()
    shutil.rmtree(own_cache)
    first = report(run_store.uri, sections=["sets"])
    for record in journal.read(made.samples):
        Path(record["path"]).unlink()
    shutil.rmtree(own_cache)
    stored = RunStore.open(run_store.uri).folder.evaluation
    assert (stored / "report" / "report.html").is_file() and (stored / "evidence-val" / EVIDENCE).is_file()
    assert report(run_store.uri, sections=["sets"]).to_json() == first.to_json(), "the evidence comes from the bucket"


@pytest.mark.thorough
def test_a_champion_of_a_registry_is_reported(run: RunFolder, own_cache: Path, tmp_path: Path) -> None:
    registry = Registry.open(f"memory://{tmp_path}/models/demo")
    registry.publish(run.root, about())
    registry.promote(1, registry.state(), "me", "")
    champion = f"models:{registry.uri}@champion"
    with pytest.raises(RunError, match="was not evaluated yet; .* Run `raytl evaluate models:"):
        report(champion)
    evaluate(champion, resamples=20)
    shutil.rmtree(own_cache)
    assert report(champion, sections=["sets"]).look.look == 1
    shutil.rmtree(own_cache)
    assert (RunStore.open(champion).folder.evaluation / "report" / "report.html").is_file()
