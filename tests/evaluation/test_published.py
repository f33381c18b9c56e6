"""A version of a registry wherever a run, or weights, can be named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.predict import predict
from raytl.events import Recorder
from raytl.models.backbone import build
from raytl.models.saved_model import digest
from raytl.models.weights import read, state_digest
from raytl.registry.registry import Registry
from raytl.run import RunFolder
from raytl.run.ledger import looks
from raytl.run.run_store import RunStore
from tests.conftest import MakePhotos
from tests.evaluation.conftest import CLASSES
from tests.registry.conftest import about
from tests.run.test_operating import operating_points, write


@pytest.fixture
def champion(run: RunFolder, tmp_path: Path) -> str:
    """The run as the champion of a registry."""
    registry = Registry.open(f"memory://{tmp_path}/models/demo")
    registry.publish(run.root, about())
    registry.promote(1, registry.state(), "me", "")
    return f"models:{registry.uri}@champion"


@pytest.mark.thorough
def test_it_predicts_and_scores_as_the_run_does(champion: str, run: RunFolder, make_photos: MakePhotos) -> None:
    photos = make_photos(per_class=2, seed=5)
    there, here = predict(champion, photos), predict(run.root, photos)
    assert (there.probabilities == here.probabilities).all()
    assert repr(evaluate(champion, split="val", resamples=20).estimates) == repr(
        evaluate(run.root, split="val", resamples=20).estimates
    )


def test_a_look_at_its_test_split_counts_on_every_machine(champion: str, own_cache: Path) -> None:
    first = evaluate(champion, resamples=20)
    shutil.rmtree(own_cache)
    watcher = Recorder()
    assert repr(evaluate(champion, resamples=20, on_event=watcher).estimates) == repr(first.estimates)
    assert "showing the stored report" in str(watcher.events)
    shutil.rmtree(own_cache)
    assert evaluate(champion, again=True, resamples=20).look == 2


def test_its_weights_can_be_gone_on_from(champion: str, run: RunFolder) -> None:
    model = ModelConfig(name="test_resnet", weights=champion, preprocess=PreprocessOverride(image_px=32))
    assert build(model, 3).weights_digest == digest(run.root)


def test_the_looks_and_operating_points_of_a_run_are_published_with_it(
    run: RunFolder, tmp_path: Path, own_cache: Path, make_photos: MakePhotos
) -> None:
    first = evaluate(run.root, resamples=20)
    write(run.evaluation, operating_points(digest(run.root), CLASSES))
    registry = Registry.open(f"memory://{tmp_path}/models/demo")
    registry.publish(run.root, about())
    version, photos = f"models:{registry.uri}@1", make_photos(per_class=1, seed=5, root=tmp_path / "new")
    watcher = Recorder()
    assert repr(evaluate(version, resamples=20, on_event=watcher).estimates) == repr(first.estimates)
    assert "showing the stored report" in str(watcher.events)
    assert not list(registry.store.list("reports/")), "to show it writes nothing"
    assert "answered" in predict(version, photos, require="accuracy>=0.95").judged
    assert evaluate(version, again=True, resamples=20).look == 2
    shutil.rmtree(own_cache)
    folder = RunStore.open(version).folder
    assert [each.look for each in looks(folder)] == [1, 2]
    folder.ledger.write_text("")
    (folder.evaluation / "report" / "operating.json").unlink()
    assert "set" in predict(version, photos, uncertainty=True).judged, "files changed here are restored"
    assert len(looks(RunStore.open(version).folder)) == 2


def test_a_report_replaces_all_files_of_an_earlier_one(run: RunFolder, tmp_path: Path) -> None:
    (write(run.evaluation, operating_points(digest(run.root), CLASSES)) / "slices.csv").write_text("published")
    registry = Registry.open(f"memory://{tmp_path}/models/demo")
    registry.publish(run.root, about())
    version = f"models:{registry.uri}@1"
    for names in ({"report.json", "sizes.png"}, {"report.json"}):
        run_store = RunStore.open(version)
        folder = run_store.folder.evaluation / "report"
        shutil.rmtree(folder)
        folder.mkdir()
        for name in names:
            (folder / name).write_text("new")
        run_store.push()
        (folder / "leftover.png").write_text("of another process")
        RunStore.open(version)
        assert {each.name for each in folder.iterdir()} == names


def test_the_weights_of_a_run_in_a_bucket_are_those_of_its_best_checkpoint(run: RunFolder, tmp_path: Path) -> None:
    run_store = RunStore(f"memory://{tmp_path}/runs/demo")
    shutil.copytree(run.root, run_store.folder.root)
    run_store.push_all()
    source = read(run_store.uri)
    assert (source.model, source.classes) == ("test_resnet", CLASSES)
    assert state_digest(source.state) == digest(run.root)
