from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from raytl.errors import DataError, RunError, UserError
from raytl.evaluation.predict import predict
from raytl.events import Message, Recorder, Work
from raytl.run import RunFolder
from tests.conftest import MakePhotos, write_deep_photos


@pytest.fixture
def odd(make_photos: MakePhotos, tmp_path: Path) -> Path:
    """Photos with odd names, one of them broken."""
    root = make_photos(per_class=2, root=tmp_path / "odd")
    (root / "red" / "000.jpg").rename(root / "red" / 'new\nline, "quoted".jpg')
    whole = (root / "red" / "001.jpg").read_bytes()
    (root / "red" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    return root


def test_a_folder_is_predicted_and_written_and_the_unreadable_are_listed(
    run: RunFolder, odd: Path, tmp_path: Path
) -> None:
    watcher = Recorder()
    found = predict(run.root, odd, out=tmp_path / "p.csv", on_event=watcher)
    assert len(found.paths) == 6
    assert [Path(each.path).name for each in found.unreadable] == ["broken.jpg"]
    assert "broken image" in found.unreadable[0].reason
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert watcher.events[-1] == Work("predicting", 7, 7)
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(found.paths)
    assert str(odd / "red" / 'new\nline, "quoted".jpg') in found.paths
    assert list(rows[0]) == ["path", "predicted", "p_blue", "p_green", "p_red"]
    assert all(row["predicted"] == max(("blue", "green", "red"), key=lambda c: float(row[f"p_{c}"])) for row in rows)


def test_files_that_are_not_photos_are_counted_once_by_reason(run: RunFolder, odd: Path) -> None:
    (odd / "red" / "download").write_bytes(b"x")
    (odd / "red" / "._001.jpg").write_bytes(b"x")
    assert predict(run.root, [odd, odd / "red"]).left_out == {
        "files that are not images": (str(odd / "red" / "download"),),
        "system files": (str(odd / "red" / "._001.jpg"),),
    }


def test_what_was_predicted_is_a_manifest_that_gives_the_same_again(run: RunFolder, odd: Path, tmp_path: Path) -> None:
    first = predict(run.root, odd, out=tmp_path / "p.parquet")
    again = predict(run.root, tmp_path / "p.parquet")
    assert again.paths == first.paths
    np.testing.assert_array_equal(again.probabilities, first.probabilities)


def test_a_saved_model_alone_is_enough(run: RunFolder, odd: Path, tmp_path: Path) -> None:
    shutil.copytree(run.best, tmp_path / "model")
    alone = predict(tmp_path / "model", [odd / "blue", odd / "red" / "001.jpg"], batch_size=2)
    assert len(alone.paths) == 3
    assert alone.weights == predict(run.root, odd / "blue").weights


def test_photos_above_the_models_bit_depth_are_clipped_and_counted(run: RunFolder, tmp_path: Path) -> None:
    file = run.best / "model.json"
    card = json.loads(file.read_text())
    card["preprocess"]["bit_depth"] = {"bits": 10, "fixed": False}
    file.write_text(json.dumps(card))
    deep, watcher = write_deep_photos(tmp_path / "deep", 12, per_class=2), Recorder()
    assert len(predict(run.best, [deep, write_deep_photos(tmp_path / "fits", 10)], on_event=watcher).paths) == 16
    (warning,) = [event for event in watcher.events if isinstance(event, Message)]
    assert warning.text.startswith(
        "4 photos have values above the range and are clipped; the model's bit depth is 10 (values to 1023)"
    )


def test_photos_of_any_depth_are_predicted_alike(run: RunFolder, tmp_path: Path) -> None:
    file = run.best / "model.json"
    card = json.loads(file.read_text())
    eight = predict(run.best, write_deep_photos(tmp_path / "8", 8)).probabilities
    for bits in (10, 12, 16):
        card["preprocess"]["bit_depth"] = {"bits": bits, "fixed": False}
        file.write_text(json.dumps(card))
        found = predict(run.best, write_deep_photos(tmp_path / str(bits), bits)).probabilities
        np.testing.assert_allclose(found, eight, atol=0.03)


def test_when_nothing_could_be_read_it_is_an_error(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 1 photos could be read:\n.*empty file"):
        predict(run.root, tmp_path / "empty.jpg", out=tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def test_the_output_is_checked_before_any_work(run: RunFolder, odd: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected \.csv or \.parquet"):
        predict(run.root, odd, out=tmp_path / "p.txt")
    table = tmp_path / "list.csv"
    table.write_text("path\nodd/blue/000.jpg\n")
    with pytest.raises(UserError, match="it is an input too"):
        predict(run.root, table, out=table)


def test_a_run_without_a_checkpoint_says_so(run: RunFolder, odd: Path) -> None:
    shutil.rmtree(run.best)
    with pytest.raises(RunError, match="no checkpoint yet"):
        predict(run.root, odd)


def test_a_folder_that_is_neither_run_nor_model_is_refused(odd: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        predict(odd, odd)
