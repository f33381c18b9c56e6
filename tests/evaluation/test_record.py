from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from raytl.data.targets import Mask, MaskClass
from raytl.errors import DataError, RunError
from raytl.evaluation.record import recorded, verified
from raytl.events import Recorder, Work, ignore
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
