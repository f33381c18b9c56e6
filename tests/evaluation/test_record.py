from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Mask, MaskClass
from raytl.errors import DataError, RunError, Unavailable
from raytl.evaluation import record
from raytl.evaluation.record import recorded, verified
from raytl.events import Message, Recorder, Work, ignore
from raytl.run import RunFolder


def test_only_the_samples_of_the_split_are_given(run: RunFolder) -> None:
    assert {sample.split for sample in recorded(run, "val")} == {"val"}
    assert len(recorded(run, "test")) == 21


def test_unchanged_files_pass_and_progress_is_told(run: RunFolder) -> None:
    watcher = Recorder()
    samples = recorded(run, "test")
    assert verified(samples, "unused", watcher) == samples
    assert watcher.events == [Work("checking files", 21, 21, "files")]


def test_many_problems_are_counted_and_ten_named(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> None:
    samples = recorded(run, "test")
    root = tmp_path_factory.mktemp("none")
    for sample in samples:
        with open(sample.path, "ab") as file:  # noqa: PTH123
            file.write(b"x")
    with pytest.raises(DataError, match=r"(?s)21 of 21 images differ.*and 11 more") as raised:
        verified(samples, str(root), ignore)
    assert str(raised.value).count("its content changed") == 10


def test_a_run_without_a_record_is_refused(run: RunFolder) -> None:
    run.samples.unlink()
    with pytest.raises(RunError, match="no samples recorded"):
        recorded(run, "test")


def test_the_file_of_a_mask_is_checked_as_the_photo_is(run: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"mask")
    target = Mask("masks/mask.png", str(path), (MaskClass(0, "sky"),), hashlib.sha256(b"mask").hexdigest())
    samples = (replace(recorded(run, "test")[0], target=target),)
    assert verified(samples, "unused", ignore) == samples
    path.write_bytes(b"another")
    with pytest.raises(DataError, match=r"the mask 'masks/mask\.png' its content changed"):
        verified(samples, "unused", ignore)


@pytest.mark.parametrize("arrives", [b"recorded", b"another", None])
def test_a_file_that_an_earlier_pull_left_is_pulled_again(
    arrives: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    path, watcher = tmp_path / "pulled/0/files/1.jpg", Recorder()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"older")
    samples = (Sample("1.jpg", str(path), "a", "test", digest=hashlib.sha256(b"recorded").hexdigest()),)

    def relocated(samples: SampleTable, **_: object) -> SampleTable:
        if arrives is None:
            raise Unavailable("no route to the store")
        path.write_bytes(arrives)
        return samples

    monkeypatch.setattr(record, "relocated", relocated)
    if arrives == b"recorded":
        assert tuple(verified(samples, "s3://bucket/photos", watcher)) == samples
    else:
        with pytest.raises(DataError, match=r"(?s)1 of 1 images differ.*'1\.jpg': its content changed"):
            verified(samples, "s3://bucket/photos", watcher)
    texts = [each.text for each in watcher.events if isinstance(each, Message)]
    assert texts[0] == "s3://bucket/photos: 1 of 1 images on this node differ from the run's record; pulling them again"
    stays = ["s3://bucket/photos: no route to the store; the files on this node stay as they are"]
    assert texts[1:] == (stays if arrives is None else [])
