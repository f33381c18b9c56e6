from __future__ import annotations

import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.errors import DataError, ModelError, RunError, UserError
from raytl.evaluation import explain as module
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.explain import explain
from raytl.evaluation.explanation.record import EXPLANATIONS_FORMAT
from raytl.evaluation.predict import predict
from raytl.events import Recorder, Work
from raytl.run import RunFolder
from raytl.run.ledger import looks
from raytl.tasks.explaining import explaining_of
from raytl.tasks.registry import task_named
from tests.conftest import MakePhotos


@pytest.fixture(autouse=True)
def few_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Occlusion, the method of the small network of `run`, with 17 forward passes instead of 82."""
    monkeypatch.setattr("raytl.models.attribution.choice.CELLS", 3)
    monkeypatch.setattr("raytl.models.attribution.choice.STEPS", 2)


@pytest.fixture
def photos(make_photos: MakePhotos, tmp_path: Path) -> Path:
    """Two photos of a class, a broken one, a gray and a transparent one, and a file that is no photo."""
    root = make_photos(2, ("red",), root=tmp_path / "some")
    (root / "red" / "broken.jpg").write_bytes(b"x")
    (root / "red" / "notes.txt").write_text("x")
    Image.new("L", (50, 30), 90).save(root / "red" / "gray.png")
    Image.new("RGBA", (30, 50), (200, 20, 20, 90)).save(root / "red" / 'a "b"\nc.png')
    return root


def test_each_photo_has_a_picture_a_row_and_a_place_on_the_page(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    watcher, out = Recorder(), tmp_path / "out"
    found = explain(run.root, photos, out=out, on_event=watcher)
    answers = predict(run.root, photos)
    assert {each.path: (each.predicted, pytest.approx(each.confidence, abs=1e-5)) for each in found.explanations} == {
        row["path"]: ((row["predicted"],), row[f"p_{row['predicted']}"]) for row in answers.rows
    }
    assert (found.method, found.split, found.wrong, len(found.explanations)) == ("occlusion", None, 0, 4)
    assert [(Path(each.path).name, each.reason) for each in found.unreadable] == [
        (Path(each.path).name, each.reason) for each in answers.unreadable
    ]
    assert found.left_out == answers.left_out
    assert all((out / each.picture).is_file() for each in found.explanations)
    page = (out / "index.html").read_text()
    assert page.count("<img ") == 4
    assert "http" not in page.replace("http-equiv", "")
    assert "a &#34;b&#34;" in page
    assert watcher.events[-1] == Work("explaining", 5, 5)


def test_the_numbers_are_stored_in_a_format_that_is_read_back(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    found = explain(run.root, photos, out=tmp_path / "out", method="ig")
    stored = EXPLANATIONS_FORMAT.load(tmp_path / "out" / "explanations.json")
    assert json.dumps(stored.to_json(), default=str) == json.dumps(found.to_json(), default=str)
    assert stored.method == "ig"


def test_one_class_is_explained_on_request(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    found = explain(run.root, photos, out=tmp_path / "out", label="blue")
    assert {each.label for each in found.explanations} == {"blue"}


def test_the_mistakes_of_validation_come_first_and_right_answers_follow(run: RunFolder, tmp_path: Path) -> None:
    found = explain(run.root, mistakes=True, out=tmp_path / "out")
    report = evaluate(run.root, split="val", resamples=20)
    assert found.split == "val"
    assert [each.correct for each in found.explanations] == sorted(each.correct for each in found.explanations)  # type: ignore[type-var]
    assert found.wrong == round((1 - report.metrics["accuracy"]) * 6)
    assert all((each.predicted == each.true) is each.correct for each in found.explanations)
    assert looks(run) == []


def test_the_mistakes_of_test_are_those_of_the_last_look(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no outcomes of the test split at these weights"):
        explain(run.root, mistakes=True, split="test", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = evaluate(run.root, resamples=20)
    found = explain(run.root, mistakes=True, split="test", out=tmp_path / "out")
    assert found.wrong == round((1 - report.metrics["accuracy"]) * 21)
    assert len(found.explanations) <= found.wrong + 15
    assert len(looks(run)) == 1


def test_a_saved_model_alone_explains_photos_and_no_mistakes(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(run.best, tmp_path / "model")
    assert len(explain(tmp_path / "model", photos / "red" / "000.jpg", out=tmp_path / "out").explanations) == 1
    with pytest.raises(RunError, match="not a run folder"):
        explain(tmp_path / "model", mistakes=True, out=tmp_path / "out")


def test_earlier_explanations_are_replaced_and_other_files_never(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    one = photos / "red" / "000.jpg"
    for _ in range(2):
        explain(run.root, one, out=tmp_path / "out")
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="mine: found other files in this folder:\n *thesis.txt"):
        explain(run.root, one, out=tmp_path / "mine")
    (tmp_path / "out" / "pictures" / "thesis.png").write_bytes(b"x")
    with pytest.raises(UserError, match="out: found other files in this folder:\n *pictures/thesis.png"):
        explain(run.root, one, out=tmp_path / "out")
    assert (tmp_path / "out" / "pictures" / "thesis.png").read_bytes() == b"x"


def test_a_folder_of_inputs_is_never_written_to_or_replaced(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    for out in (photos / "maps", photos.parent / "x" / ".." / photos.name / "maps", tmp_path / "link" / "maps"):
        with pytest.raises(UserError, match="it is in an input"):
            explain(run.root, photos, out=out)
    explain(run.root, photos / "red" / "000.jpg", out=tmp_path / "out")
    (picture,) = (tmp_path / "out" / "pictures").iterdir()
    with pytest.raises(UserError, match="it holds an input"):
        explain(run.root, picture, out=tmp_path / "out")
    assert picture.is_file()


def test_a_link_to_the_folder_stays_a_link(run: RunFolder, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    explain(run.root, photos / "red" / "000.jpg", out=tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "index.html").is_file()


def test_an_interrupt_leaves_nothing(
    run: RunFolder, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "page", interrupted)
    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        explain(run.root, photos, out=tmp_path / "out")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "kind", "fault"),
    [
        ({"photos": ()}, UserError, "photos: found none; expected folders, manifests or photos, or --mistakes"),
        ({"mistakes": True}, UserError, "found photos and mistakes"),
        ({"split": "val"}, UserError, "expected --mistakes beside it"),
        ({"photos": (), "mistakes": True, "split": "best"}, UserError, "expected one of train, val, test"),
        ({"label": "ret"}, UserError, "class 'ret': the model has no such class; did you mean 'red'"),
        ({"label": "xyz"}, UserError, r"no such class; expected one of:\n.*blue"),
        ({"method": "cam"}, ModelError, "cam is not valid for test_resnet"),
        ({"batch_size": 0}, UserError, "batch_size: found 0"),
        ({"photos": "nowhere"}, DataError, "nowhere: no such file or folder"),
        ({"photos": "empty"}, DataError, "empty: no photos in this folder"),
        ({"photos": "some/red/broken.jpg"}, DataError, "none of 1 photos could be read"),
    ],
)
def test_what_cannot_be_explained_is_an_error_and_writes_nothing(
    run: RunFolder,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    kind: type[Exception],
    fault: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(kind, match=fault):
        explain(run.root, **({"photos": photos} | options))
    assert not (tmp_path / "explanations").exists()


def test_a_task_without_explanations_is_named_with_those_that_have_them(
    run: RunFolder, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "explaining_of", lambda task: None)
    with pytest.raises(UserError, match=r"expected one that scores classes \(.+, .+, .+\)"):
        explain(run.root, photos, out=tmp_path / "out")


def test_the_page_of_many_maps_embeds_the_first(
    run: RunFolder, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.evaluation.explanation.page.MAX_EMBEDDED", 1)
    found = explain(run.root, photos, out=tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert (page.count("<img "), page.count("<figure ")) == (1, len(found.explanations))
    assert np.isfinite([each.confidence for each in found.explanations]).all()


def test_photos_with_nothing_to_explain_are_named_and_not_called_unreadable(
    run: RunFolder, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(explaining_of(task_named("classification")))
    usual, calls = kind.statements, count()
    monkeypatch.setattr(kind, "statements", lambda *given: usual(*given) if next(calls) else ())  # type: ignore[attr-defined]
    found = explain(run.root, photos, out=tmp_path / "out")
    (silent,) = found.left_out["photos answered as background"]
    assert silent not in {each.path for each in (*found.explanations, *found.unreadable)}
    monkeypatch.setattr(kind, "statements", lambda *given: ())  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="photos: the model answers nothing but background; .* Name one with --class"):
        explain(run.root, photos, out=tmp_path / "none")
