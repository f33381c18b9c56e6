"""The error that ended a run is kept until the next attempt; an interruption is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.errors import TrainingError, Unavailable
from raytl.run.failure import FAILURE, FAILURE_FORMAT, failure_recorded


def test_an_error_is_recorded_and_published(tmp_path: Path) -> None:
    published: list[bool] = []
    with (
        pytest.raises(TrainingError, match="it broke"),
        failure_recorded(tmp_path, lambda: published.append((tmp_path / FAILURE).exists())),
    ):
        raise TrainingError("it broke\nand more")
    failure = FAILURE_FORMAT.load(tmp_path / FAILURE)
    assert (failure.error, failure.text) == ("TrainingError", "it broke")
    assert published == [True]


def test_the_next_attempt_begins_without_it(tmp_path: Path) -> None:
    (tmp_path / FAILURE).write_text("{}")
    with failure_recorded(tmp_path, lambda: None):
        assert not (tmp_path / FAILURE).exists()


def test_an_interruption_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match="^$"), failure_recorded(tmp_path, lambda: None):
        raise KeyboardInterrupt
    assert not (tmp_path / FAILURE).exists()


def test_a_store_that_is_down_is_not_asked_again(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="down"), failure_recorded(tmp_path, lambda: pytest.fail("published")):
        raise Unavailable("down")
    assert (tmp_path / FAILURE).exists()


def test_the_error_itself_is_raised_where_it_cannot_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def fail() -> None:
        with failure_recorded(tmp_path / "gone", lambda: None):
            (tmp_path / "gone").symlink_to("file")
            raise TrainingError("it broke")

    with pytest.raises(TrainingError, match="it broke"):
        fail()
