from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from raytl.config.machine import Machine
from raytl.config.schema import ComputeConfig
from raytl.data.sample import Sample
from raytl.errors import ConfigError, DataError, RunError, TestLockedError, UserError
from raytl.evaluation.evaluate import OUTCOMES, _groups, evaluate
from raytl.events import Message, Recorder, Work, ignore
from raytl.run import RunFolder, journal
from raytl.run.ledger import looks, unlock
from raytl.tasks.classification.outcomes import OUTCOME_FORMAT
from raytl.tasks.classification.report import as_json
from tests.cli.conftest import run_encoded
from tests.conftest import MakePhotos


def _test_photo(run: RunFolder) -> Path:
    return Path(next(record["path"] for record in journal.read(run.samples) if record["split"] == "test"))


@pytest.mark.drawn
def test_a_look_scores_the_split_and_leaves_a_report_with_pictures(run: RunFolder) -> None:
    watcher = Recorder()
    found = evaluate(run.root, resamples=200, on_event=watcher)
    assert found.images == 21
    assert found.estimates.support == (7, 7, 7)
    assert found.metrics["accuracy"] == pytest.approx(np.trace(found.matrix) / 21)
    assert sorted(path.name for path in (run.evaluation / "test").iterdir()) == [
        "confusion.png", "evidence.safetensors", "outcomes.jsonl", "reliability.png", "report.json", "report.md", "worst.png",
    ]  # fmt: skip
    assert "# demo: test split\n" in (run.evaluation / "test" / "report.md").read_text()
    saved = json.loads((run.evaluation / "test" / "report.json").read_text())
    assert saved["metrics"]["accuracy"]["value"] == found.metrics["accuracy"]
    assert Work("scoring", 21, 21) in watcher.events
    assert {mistake.key for mistake in found.mistakes} >= {f"{name}/003.jpg" for name in ("blue", "green", "red")}
    assert len(found.mistakes) == 21 - int(np.trace(found.matrix))
    sure = [mistake.probability for mistake in found.mistakes]
    assert sure == sorted(sure, reverse=True)


def test_a_second_evaluation_shows_the_stored_report_and_reads_no_image(run: RunFolder) -> None:
    first = evaluate(run.root, resamples=20)
    photo = _test_photo(run)
    photo.unlink()
    before = run.ledger.read_bytes()
    watcher = Recorder()
    second = evaluate(run.root, resamples=20, on_event=watcher)
    assert as_json(second) == as_json(first)
    assert run.ledger.read_bytes() == before
    (said,) = watcher.events
    assert isinstance(said, Message)
    assert re.fullmatch(
        r"the test split was already evaluated on .* by .*; showing the stored report \(--again, in Python again=True, evaluates the "
        r"test split once more and marks the report 'evaluation 2'\)",
        said.text,
    )


def test_each_further_look_at_the_test_split_is_asked_for_and_marked(run: RunFolder) -> None:
    first = evaluate(run.root, resamples=20)
    second = evaluate(run.root, again=True, resamples=20)
    assert (first.look, second.look) == (1, 2)
    assert first.metrics == second.metrics
    assert [entry.weights for entry in looks(run)] == [first.subject.weights] * 2
    assert "# demo: test split, evaluation 2\n" in (run.evaluation / "test-2" / "report.md").read_text()
    assert (run.evaluation / "test" / "report.md").exists()
    assert "looked at once" not in (run.evaluation / "test" / "report.md").read_text()
    assert run.verify() == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_the_report_is_shown_on_a_terminal_without_unicode(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    done = run_encoded(monkeypatch, encoding, "evaluate", run.root)
    assert done.code == 0, done.err
    dash = "–" if encoding == "utf-8" else "-"
    assert re.search(rf"^accuracy[ |]+\d+\.\d %[ |]+\d+\.\d {dash} \d+\.\d %$", done.out, re.MULTILINE)


def test_a_look_at_other_weights_is_neither_shown_nor_finished(run: RunFolder) -> None:
    unlock(run, "the digest of other weights")
    with pytest.raises(TestLockedError, match="evaluated once already"):
        evaluate(run.root, resamples=20)
    assert evaluate(run.root, again=True, resamples=20).look == 2


def test_val_can_be_looked_at_any_time_and_leaves_the_ledger_alone(run: RunFolder) -> None:
    run.manifest.unlink()
    assert evaluate(run.root, split="val", resamples=20).images == 6
    assert evaluate(run.root, split="val", resamples=20).look is None
    assert [path.name for path in run.evaluation.iterdir()] == ["val"]
    assert looks(run) == []


def test_a_changed_and_a_missing_test_image_are_named_and_cost_no_look(run: RunFolder) -> None:
    photo = _test_photo(run)
    photo.write_bytes(photo.read_bytes() + b"x")
    photo.with_name("001.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of 21 images differ") as raised:
        evaluate(run.root)
    assert "'blue/000.jpg': its content changed" in str(raised.value)
    assert "'blue/001.jpg': cannot be read (No such file" in str(raised.value)
    assert looks(run) == []


def test_images_that_moved_are_found_by_their_keys_at_the_datas_place(run: RunFolder) -> None:
    records = [{**record, "path": "/gone" + record["path"]} for record in journal.read(run.samples)]
    run.samples.unlink()
    for record in records:
        journal.append(run.samples, record)
    run.write_manifest({})
    assert evaluate(run.root, resamples=20).images == 21


def test_the_test_of_an_unfinished_run_stays_locked(run: RunFolder) -> None:
    run.manifest.unlink()
    with pytest.raises(RunError, match="not finished, so its test split is locked"):
        evaluate(run.root)


def test_a_run_whose_files_changed_is_refused(run: RunFolder) -> None:
    run.samples.write_text(run.samples.read_text().replace('"test"', '"val"', 1))
    with pytest.raises(RunError, match=r"the run changed since it finished:\n.*samples\.jsonl"):
        evaluate(run.root)


def test_weights_that_are_not_the_cards_are_refused(run: RunFolder) -> None:
    card = run.best / "model.json"
    value = json.loads(card.read_text())
    card.write_text(json.dumps({**value, "digest": "0" * 64}))
    run.write_manifest({})
    with pytest.raises(RunError, match=r"the weights do not match the digest in model\.json"):
        evaluate(run.root)


def test_a_run_without_the_split_says_which_it_has(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"no images in its train split \(it has test, val\)"):
        evaluate(run.root, split="train")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "valid"}, "split 'valid': expected one of train, val, test"),
        ({"split": "val", "again": True}, "only looks at the test split are counted"),
        ({"workers": 0}, "workers: found 0"),
    ],
)
def test_options_that_cannot_take_effect_are_errors(run: RunFolder, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        evaluate(run.root, **options)  # type: ignore[arg-type]


def test_several_workers_need_ray(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match="2 need Ray, and compute.cluster is none"):
        evaluate(run.root, workers=2, machine=Machine(compute=ComputeConfig(cluster="none")))


def test_a_setting_of_workers_cannot_take_effect_without_them(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"compute\.cluster: cannot take effect in a single process"):
        evaluate(run.root, machine=Machine(compute=ComputeConfig(cluster="host:1")))


def test_a_folder_that_is_no_run_is_refused(make_photos: MakePhotos) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        evaluate(make_photos())


@pytest.mark.thorough
@pytest.mark.ray
@pytest.mark.filterwarnings("default")  # Ray warns about itself
def test_two_workers_on_ray_give_the_metrics_of_one(run: RunFolder) -> None:
    alone = evaluate(run.root, split="val", resamples=20)
    together = evaluate(run.root, split="val", resamples=20, workers=2, device="cpu")
    assert repr(together.estimates) == repr(alone.estimates)
    assert together.matrix.tolist() == alone.matrix.tolist()


def test_an_evaluation_leaves_the_outcome_of_each_image(run: RunFolder) -> None:
    evaluation = evaluate(run.root, split="val")
    rows = journal.read(Path(evaluation.folder) / OUTCOMES, OUTCOME_FORMAT)
    assert len(rows) == evaluation.images
    assert np.mean([row.true == row.predicted for row in rows]) == evaluation.metrics["accuracy"]


def of_patients(*patients: str) -> list[Sample]:
    return [
        Sample(f"{place}.jpg", f"{place}.jpg", "a", digest=str(place), columns=(("patient", name),))
        for place, name in enumerate(patients)
    ]


def test_images_of_a_group_are_drawn_together() -> None:
    groups = _groups(of_patients("x", "y", "x"), {"patient": "group"}, ignore)
    assert groups is not None and groups[0] == groups[2] != groups[1]
    assert _groups(of_patients("x", "y", "x"), {"patient": "slice"}, ignore) is None


def test_images_of_one_group_are_drawn_one_by_one_with_a_warning() -> None:
    said = Recorder()
    assert _groups(of_patients("x", "x"), {"patient": "group"}, said) is None
    assert [event.text for event in said.events if isinstance(event, Message)] == [
        "all images are of one group (patient), so the intervals draw images and are too narrow"
    ]
