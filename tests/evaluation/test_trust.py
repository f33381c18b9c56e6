from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.errors import RunError, UserError
from raytl.evaluation.predict import predict
from raytl.evaluation.predictor import load
from raytl.evaluation.trust import TrustOptions, trust_of
from raytl.models.saved_model import digest
from raytl.run import RunFolder
from raytl.run.operating import OperatingPoints, Tally, Tried
from raytl.tasks.registry import task_named
from raytl.tasks.saved import load_saved
from raytl.tasks.watched import batch_features
from tests.conftest import MakePhotos
from tests.evaluation.conftest import CLASSES
from tests.run.test_operating import operating_points, with_reference, write


def points_of(run: RunFolder) -> OperatingPoints:
    """Return operating points of the run's model."""
    return operating_points(digest(run.root), CLASSES)


@pytest.fixture
def photos(make_photos: MakePhotos, tmp_path: Path) -> Path:
    """Return a folder of six photos."""
    return make_photos(per_class=2, seed=5, root=tmp_path / "new")


def test_answers_below_the_certified_threshold_are_left_to_people(run: RunFolder, photos: Path) -> None:
    write(run.evaluation, points_of(run))
    found = predict(run.root, photos, require="accuracy>=0.95", recall=["red>=0.9"])
    sure = found.probabilities.max(axis=1)
    assert found.judged["answered"] == (sure >= 0.5).tolist()
    assert found.judged["is_red"] == (found.probabilities[:, 2] >= 1 / (1 + np.exp(-2))).tolist()
    assert found.judged["set"] == [
        [name for name, p in zip(CLASSES, row, strict=True) if p >= 0.5] for row in found.probabilities.tolist()
    ]
    assert "unfamiliar" not in found.judged, "the report measured no limit"
    assert "answered" not in predict(run.root, photos, uncertainty=True).judged


def test_two_aims_for_the_recall_of_a_class_are_both_kept(run: RunFolder) -> None:
    reached = Tally((80,) * 3 + (100,) * 14, (100,) * 17)
    write(run.evaluation, replace(points_of(run), recalls=(Tried(reached, reached),) * 3))
    saved = load_saved(run.best)
    for recall in (("red>=0.9", "red>=0.5"), ("red>=0.5", "red>=0.9")):
        trust = trust_of(run, "x", saved, TrustOptions(recall=recall))
        assert trust is not None and trust.recalls == {"red": pytest.approx(1 / (1 + np.exp(-5)))}


def test_an_answer_in_memory_carries_what_the_table_has(run: RunFolder, photos: Path) -> None:
    write(run.evaluation, points_of(run))
    table = predict(run.root, photos, require="accuracy>=0.95")
    answers = load(run.root, require="accuracy>=0.95").predict(photos)
    assert [each.answered for each in answers] == table.judged["answered"]
    assert [list(each.set) for each in answers] == table.judged["set"]
    plain = load(run.root).predict(sorted(photos.rglob("*.jpg"))[0])
    assert (plain.answered, plain.set, plain.unfamiliar, plain.judgement) == (None, None, None, None)


def test_a_photo_unlike_the_reference_is_unfamiliar(
    run: RunFolder, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # features are those of the batch of a thread
    paths = [str(path) for path in sorted(photos.rglob("*.jpg"))]
    predictor = load(run.root)
    watch = batch_features(predictor._saved)
    predictor.predict(paths[0])
    points, content = with_reference(points_of(run), watch(1), 1e-2)
    write(run.evaluation, points, content)
    seen = load(run.root, uncertainty=True).predict(paths, batch_size=2)
    assert [each.unfamiliar for each in seen] == [False] + [True] * 5


def test_a_reference_of_other_features_is_an_error(run: RunFolder, photos: Path) -> None:
    write(run.evaluation, *with_reference(points_of(run), np.ones((2, 3), np.float16), 0.5))
    with pytest.raises(RunError, match=r"has 3 features; expected \d+"):
        predict(run.root, photos, uncertainty=True)


def test_without_a_report_the_command_that_writes_it_is_named(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"found no operating points; .* Run `raytl report .*demo`") as raised:
        predict(run.root, photos, require="accuracy>=0.95")
    assert raised.value.exit_code == 2
    shutil.copytree(run.best, tmp_path / "alone")
    with pytest.raises(RunError, match="found a saved model without its run"):
        load(tmp_path / "alone", uncertainty=True)


@pytest.mark.parametrize("changed", ["weights", "temperature"])
def test_points_of_another_checkpoint_are_not_used(run: RunFolder, photos: Path, changed: str) -> None:
    points = points_of(run)
    if changed == "weights":
        points = operating_points("other", CLASSES)
    else:
        card = json.loads((run.best / "model.json").read_text())
        (run.best / "model.json").write_text(json.dumps(card | {"temperature": 2.0}))
        assert load_saved(run.best).card.temperature == 2.0
    write(run.evaluation, points)
    with pytest.raises(RunError, match=r"the operating points are of weights .*; expected the same"):
        predict(run.root, photos, uncertainty=True)


def test_aims_that_are_not_met_are_all_named_and_nothing_is_predicted(run: RunFolder, photos: Path) -> None:
    write(run.evaluation, points_of(run))
    with pytest.raises(UserError, match=r"(?s)does not show that the model meets 2 of 2 aims:.*99.9 % right.*'blue'"):
        predict(run.root, photos, require="accuracy>=0.999", recall=["blue>=0.99"])
    with pytest.raises(UserError, match="--recall 'mauve>=0.9': there is no 'mauve'"):
        predict(run.root, photos, recall=["mauve>=0.9"])


def test_a_task_without_prediction_sets_is_refused(run: RunFolder) -> None:
    saved = load_saved(run.best)
    other = replace(saved, task=task_named("detection"))
    with pytest.raises(UserError, match="the task of this model is detection; expected one that decides one class"):
        trust_of(run, "x", other, TrustOptions(uncertainty=True))
