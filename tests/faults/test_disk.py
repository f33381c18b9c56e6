"""Disk errors: one sentence that names the file, and no partial files."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import pickle
import resource
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raytl.cluster.retry import EndedAttempt, GiveUp, decide
from raytl.config.schema import ComputeConfig
from raytl.config.search import SearchConfig
from raytl.data.formats import archives
from raytl.disk import disk_error, writing
from raytl.errors import DiskError, StoreError
from raytl.models.tensors import save_tensors
from raytl.registry.registry import Registry
from raytl.run import atomic, journal
from raytl.run.logs import log_to
from raytl.run.mirror import link_tree
from raytl.search.storage import open_storage
from raytl.store.local import LocalStore
from raytl.tasks.classification.table import Predictions
from raytl.training import checkpoint
from raytl.training.checkpoint import Checkpoint, Progress
from raytl.training.scalars import write_scalars
from tests.cli.test_terminal import fail_with
from tests.registry.conftest import about

LIMIT = 200_000
BIG = bytes(2 * LIMIT)
TOO_LARGE = "the file exceeds this system's size limit"


@contextmanager
def small_files(limit: int = LIMIT) -> Iterator[None]:
    """Limit the files of this process to `limit` bytes: the kernel fails a write with EFBIG midway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "a/b: the disk is full; expected 1,024 bytes free. Free some space"),
        (
            errno.EDQUOT,
            "a/b: this user's disk quota is exhausted; expected 1,024 bytes left in the quota. Free some space, or request a "
            "larger quota",
        ),
        (
            errno.EFBIG,
            "a/b: the file exceeds this system's size limit; expected a limit that allows 1,024 bytes. Raise the limit "
            "(`ulimit -f`), or use a file system for larger files",
        ),
        (
            errno.EROFS,
            "a/b: the file system is read-only; expected a writable one. Use another folder, or mount it writable",
        ),
        (
            errno.EACCES,
            "a/b: permission denied; expected a file that this user can read and write. Change its permissions or owner",
        ),
    ],
)
def test_each_disk_fault_has_its_own_sentence(number: int, sentence: str) -> None:
    error = disk_error(OSError(number, os.strerror(number)), "a/b", 1024)
    assert str(error) == f"{sentence} and run the same command again."
    assert isinstance(error, StoreError)
    assert error.exit_code == 1


def test_without_a_size_the_sentence_names_none() -> None:
    error = disk_error(OSError(errno.ENOSPC, "x"), "a/b")
    assert str(error).startswith("a/b: the disk is full; expected enough space free. ")


@pytest.mark.parametrize(
    "error",
    [
        OSError("[Errno 28] Error writing bytes to file"),  # the number is only in the text
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        shutil.Error([("a/s", "b/t", "[Errno 28] No space left on device: 'a/s' -> 'b/t'")]),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
        FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"),
    ],
    ids=["OSError", "Rust", "shutil", "SQLite", "tempfile"],
)
def test_a_full_disk_is_recognized_without_an_error_number(error: Exception) -> None:
    assert "the disk is full" in str(disk_error(error))


def test_a_failed_copy_names_the_target_or_the_unreadable_source() -> None:
    full = OSError(errno.ENOSPC, "x", "source/a", None, "target/b")
    assert str(disk_error(full)).startswith("target/b: the disk is full")
    assert str(disk_error(full, "target/final")).startswith("target/final: the disk is full")
    closed = PermissionError(errno.EACCES, "x", "source/a")
    assert str(disk_error(closed, "target/final")).startswith("source/a: permission denied")
    tree = shutil.Error([("s/a", "t/a", "[Errno 28] No space left on device")])
    assert str(disk_error(tree)).startswith("t/a: the disk is full")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file"), ValueError("x"), ConnectionResetError(104, "x")]
)
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert disk_error(error) is None
    with pytest.raises(type(error), match="x|No such"), writing("here"):
        raise error


def test_the_error_survives_pickling_from_a_worker() -> None:
    error = disk_error(OSError(errno.ENOSPC, "x"), "a/b")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (DiskError, str(error))


def _checkpoint() -> Checkpoint:
    weights = {"w": torch.zeros(LIMIT)}
    return Checkpoint(Progress(), weights, {"w": torch.zeros(1)}, {}, {})


def _archive(folder: Path) -> None:
    with tarfile.open(folder / "x.tar", "w") as tar:
        info = tarfile.TarInfo("cat/1.jpg")
        info.size = len(BIG)
        tar.addfile(info, io.BytesIO(BIG))


def _unpack(folder: Path) -> None:
    archives.unpacked(folder / "x.tar", "x.tar", lambda event: None)


def _source(folder: Path) -> None:
    (folder / "source").mkdir()
    (folder / "source" / "a").write_bytes(BIG)


def _put(folder: Path) -> None:
    LocalStore(folder / "store").put_file(folder / "source" / "a", "a")


def _publish(folder: Path) -> None:
    Registry.open(str(folder / "registry")).publish(folder / "source", about())


def _predict(folder: Path) -> None:
    paths = tuple(f"photos/{number:06}.jpg" for number in range(20_000))
    Predictions(paths, ("a", "b"), np.full((20_000, 2), 0.5), (), "w").write(folder / "p.csv")


def _scores(folder: Path) -> None:
    write_scalars(folder / "tensorboard", {f"val/{'x' * 100}{number}": 1.0 for number in range(3000)}, 1)


def nothing(folder: Path) -> None:
    """Prepare nothing."""


Step = Callable[[Path], object]
WRITES: dict[str, tuple[Step, Step, list[str]]] = {
    "checkpoint": (nothing, lambda folder: checkpoint.save(folder / "last", _checkpoint()), []),
    "tensors": (nothing, lambda folder: save_tensors({"w": torch.zeros(LIMIT)}, folder / "w.safetensors"), []),
    "report": (nothing, lambda folder: atomic.write_json(folder / "report.json", {"x": "x" * LIMIT}), []),
    "publish": (_source, _publish, ["source/a"]),
    "store": (_source, _put, ["source/a"]),
    "upload held": (_source, lambda folder: held_copy(folder / "source", folder / "held"), ["source/a"]),
    "unpack": (_archive, _unpack, ["x.tar"]),
    "predictions": (nothing, _predict, []),
    "TensorBoard": (nothing, _scores, []),
}


def held_copy(source: Path, target: Path) -> None:
    """Run `link_tree` on a file system without links."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", refuse_link)
        try:
            link_tree(source, target)
        except DiskError:
            shutil.rmtree(target)  # like the uploader
            raise


def refuse_link(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("what", WRITES)
def test_a_failed_write_is_one_sentence_and_leaves_no_partial_file(what: str, tmp_path: Path) -> None:
    prepare, write, left = WRITES[what]
    prepare(tmp_path)
    with pytest.raises(DiskError, match=f"^[^\n]*: {TOO_LARGE}; expected [^\n]*\\.$"), small_files():
        write(tmp_path)
    assert names(tmp_path) == left


@pytest.mark.parametrize("what", ["checkpoint", "report"])
def test_the_old_file_stays_intact_if_the_new_one_does_not_fit(what: str, tmp_path: Path) -> None:
    if what == "report":
        atomic.write_json(tmp_path / "report.json", {"a": 1})
    else:
        checkpoint.save(tmp_path / "last", Checkpoint(Progress(step=7), {"w": torch.ones(3)}, {}, {}, {}))
    before = names(tmp_path)
    with pytest.raises(DiskError, match=TOO_LARGE), small_files():
        WRITES[what][1](tmp_path)
    assert names(tmp_path) == before
    if what == "report":
        assert json.loads((tmp_path / "report.json").read_text()) == {"a": 1}
    else:
        loaded = checkpoint.load(tmp_path / "last")
        assert loaded is not None
        assert loaded.progress.step == 7


def test_a_line_that_does_not_fit_is_removed_from_the_journal_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    journal.append(path, {"epoch": 1})
    before = path.read_bytes()
    with pytest.raises(DiskError, match=rf"metrics.jsonl: {TOO_LARGE}"), small_files(len(before) + 10):
        journal.append(path, {"epoch": 2, "loss": 0.123456})
    assert path.read_bytes() == before
    journal.append(path, {"epoch": 2})
    assert journal.read(path) == [{"epoch": 1}, {"epoch": 2}]


def test_a_study_without_space_resumes_from_its_last_complete_line(tmp_path: Path) -> None:
    storage: Any = open_storage(tmp_path, SearchConfig())
    storage._backend.append_logs([{"op": 1}])
    with pytest.raises(DiskError, match=rf"study.log: {TOO_LARGE}"), small_files():
        storage._backend.append_logs([{"op": number, "text": "x" * 1000} for number in range(400)])
    storage._backend.append_logs([{"op": 2}])
    assert list(storage._backend.read_logs(0)) == [{"op": 1}, {"op": 2}]


def test_a_study_with_a_torn_last_line_resumes(tmp_path: Path) -> None:
    storage: Any = open_storage(tmp_path, SearchConfig())
    storage._backend.append_logs([{"op": 1}])
    with (tmp_path / "study.log").open("a") as file:
        file.write('{"op": 2, "na')
    storage._backend.append_logs([{"op": 3}])
    assert list(storage._backend.read_logs(0)) == [{"op": 1}, {"op": 3}]


def test_a_log_without_space_warns_once_and_fails_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with log_to(Path("/dev/full"), "r"):
        for _ in range(3):
            logging.getLogger("raytl").info("a line")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("warning: /dev/full: the disk is full; expected enough space free. ")
    assert err.endswith("Until then, log lines are lost.\n")


def test_a_full_disk_of_a_worker_ends_the_run_with_that_sentence() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    decision = decide([EndedAttempt("failure", "x", 1, (error,))], ComputeConfig())
    assert isinstance(decision, GiveUp)
    assert isinstance(decision.error, DiskError)
    assert str(decision.error).startswith("/data/x: the disk is full")


def test_a_command_ends_with_the_sentence_of_an_untranslated_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(RuntimeError("I/O error: No space left on device (os error 28)")) == 1
    err = capsys.readouterr().err
    assert err == (
        "error: this machine's disk: the disk is full; expected enough space free. "
        "Free some space and run the same command again.\n"
    )


def test_an_unexpected_error_is_reported_even_if_its_traceback_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/null/none")
    assert fail_with(ValueError("odd")) == 1
    assert "ValueError: odd\nUnexpected error; its traceback could not be written" in capsys.readouterr().err
