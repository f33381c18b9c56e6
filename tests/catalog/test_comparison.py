"""Two runs side by side, with a paired test on the same images or the reason why there is none."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from raytl.catalog.comparison import compare
from raytl.errors import RunError
from raytl.evaluation.evaluate import OUTCOMES
from raytl.metrics import paired
from raytl.metrics.paired import mcnemar
from raytl.registry.registry import Registry
from raytl.tasks.classification import outcomes
from tests.catalog.conftest import METRIC, put, put_report, put_run, samples
from tests.registry.conftest import about

OLD = {f"k{n:02d}": ("ab"[n % 2], "a") for n in range(20)}
NEW = {key: (true, true) for key, (true, _) in OLD.items()}


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, or a prefix in a bucket."""
    return str(tmp_path / "runs") if request.param == "folder" else f"s3://{request.getfixturevalue('bucket')}/runs"


def test_config_data_and_result_are_compared(root: str) -> None:
    before = put_run(f"{root}/one")
    after = put_run(f"{root}/two", (0.9,), experiment={"optim": {"lr": 0.1}}, samples=samples(("a/1", "a", "train")))
    found = compare(before, after)
    assert [(change.key, change.after) for change in found.config] == [("optim.lr", 0.1)]
    assert (found.data.images, len(found.data.removed)) == ((4, 1), 3)
    assert found.data.before != found.data.after
    assert found.validation == {METRIC: (0.75, 0.9)}
    assert (found.split, found.scores, found.tests) == ("", {}, ())
    assert "no reports on the same split" in found.no_test


def test_scores_of_auxiliary_heads_are_none_of_the_task(tmp_path: Path) -> None:
    run = put_run(f"{tmp_path}/one")
    manifest = json.loads(Path(run, "manifest.json").read_text())
    manifest["summary"]["metrics"] |= {"auxiliary/camera/accuracy": 0.9, "calibration/ece": 0.1}
    put(run, {"manifest.json": manifest})
    assert compare(run, run).validation == {METRIC: (0.75, 0.75)}


def test_versions_have_the_reports_that_were_added_on_another_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    registry = Registry.open(f"memory://{tmp_path}/trash")
    for number, predicted in enumerate((OLD, NEW), 1):
        run = put_run(f"{tmp_path}/{number}")
        put_report(run, OLD, split="val")
        registry.publish(Path(run), about())
        put_report(f"{tmp_path}/elsewhere", predicted, split="val")
        for name in ("report.json", OUTCOMES):
            content = (tmp_path / "elsewhere" / "evaluation" / "val" / name).read_bytes()
            registry.store.put_bytes(f"reports/{number:06d}/evaluation/val/{name}", content)
    accuracy = compare(*(f"models:{registry.uri}@{number}" for number in (1, 2))).tests[0]
    assert (accuracy.gained, accuracy.lost) == (10, 0)


def test_reports_on_the_same_images_are_tested_in_pairs(root: str) -> None:
    before, after = put_run(f"{root}/one"), put_run(f"{root}/two")
    put_report(before, OLD)
    put_report(after, NEW)
    found = compare(before, after)
    accuracy, balanced = found.tests
    assert (found.split, found.no_test) == ("test", "")
    assert (accuracy.metric, accuracy.gained, accuracy.lost) == ("accuracy", 10, 0)
    assert (accuracy.before, accuracy.after) == pytest.approx((0.5, 1.0))
    assert accuracy.p_better == mcnemar(10, 0)[0]
    assert balanced.metric == "balanced_accuracy"
    assert balanced.gain == pytest.approx(0.5)
    swapped = compare(after, before)
    assert swapped.tests[0].p_worse == accuracy.p_better


def test_the_last_report_on_a_split_counts(root: str) -> None:
    before, after = put_run(f"{root}/one"), put_run(f"{root}/two")
    put_report(before, OLD)
    put_report(after, OLD)
    put_report(after, NEW, split="test-2")
    assert compare(before, after).tests[0].gained == 10


def test_the_validation_split_serves_where_the_test_is_locked(root: str) -> None:
    before, after = put_run(f"{root}/one"), put_run(f"{root}/two")
    put_report(before, OLD)
    for run in (before, after):
        put_report(run, OLD, split="val")
    assert compare(before, after).split == "val"


def test_there_is_no_test_on_different_images_or_without_outcomes(root: str) -> None:
    before, after = put_run(f"{root}/one"), put_run(f"{root}/two")
    put_report(before, OLD)
    put_report(after, OLD, data="f" * 64)
    assert "on different images (0123456789ab and ffffffffffff)" in compare(before, after).no_test
    put_report(after, {"other": ("a", "a")})
    assert "different images" in compare(before, after).no_test
    put_report(after, OLD)
    put(f"{after}/evaluation/test", {"outcomes.jsonl": ""})
    assert "no outcomes.jsonl" in compare(before, after).no_test


def test_what_is_no_run_is_an_error(root: str) -> None:
    run = put_run(f"{root}/one")
    put(f"{root}/x-sweep", {"experiment.yaml": "name: x\ndata: {uri: x}\nmodel: {name: m}\n"})
    with pytest.raises(RunError, match="found a sweep or a trial, expected a run"):
        compare(run, f"{root}/x-sweep")
    with pytest.raises(RunError, match=r"no run is there, experiment\.yaml is missing; `raytl runs`"):
        compare(root, run)


def test_a_damaged_file_is_an_error_that_names_it(root: str) -> None:
    run = put_run(f"{root}/one")
    bad = put_run(f"{root}/two", files={"samples.jsonl": b"{}\n"})
    with pytest.raises(RunError, match=r"two/samples\.jsonl:1"):
        compare(run, bad)


def test_nothing_that_a_run_says_is_followed(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "m4rk3d")
    run = put_run(f"{root}/one", experiment={"storage": {"endpoint_url": "http://127.0.0.1:9", "profile": "evil"}})
    other = put_run(f"{root}/two", experiment={"model": {"name": "${KEY}"}})
    assert compare(run, run).config == ()
    with pytest.raises(Exception, match="reads nothing from the environment") as caught:
        compare(run, other)
    assert "m4rk3d" not in str(caught.value)


def test_a_report_of_as_many_classes_as_images_takes_memory_per_image_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 10)
    rows = {str(number): (f"class {number}", f"class {number}") for number in range(8000)}
    for name in ("one", "two"):
        put_report(put_run(str(tmp_path / name)), rows)
    tracemalloc.start()
    found = compare(str(tmp_path / "one"), str(tmp_path / "two"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [test.before for test in found.tests] == pytest.approx([1.0, 1.0])
    assert peak < 100 << 20  # a table (images, classes) of float64 takes 512 MB


def test_a_report_of_too_many_images_is_compared_without_a_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MAX_IMAGES", 3)
    for name in ("one", "two"):
        put_report(put_run(str(tmp_path / name)), {str(number): ("a", "a") for number in range(4)})
    found = compare(str(tmp_path / "one"), str(tmp_path / "two"))
    assert (found.tests, found.no_test) == ((), "a report has 4 images; the test takes 3 at most")
    with (tmp_path / "one/evaluation/test/outcomes.jsonl").open("wb") as file:
        file.truncate(1 << 40)
    assert "more than" in compare(str(tmp_path / "one"), str(tmp_path / "two")).no_test


def test_a_folder_without_a_run_is_not_searched_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_run(str(tmp_path / "a" / "b"))
    entered: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: entered.append(str(path)) or scandir(path))
    with pytest.raises(RunError, match="no run is there"):
        compare(str(tmp_path), str(tmp_path))
    assert entered == [str(tmp_path)]
