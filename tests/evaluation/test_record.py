from __future__ import annotations

import pytest

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
