"""A disk that refuses: one sentence that names the file, and nothing half-written (issue 16, section 7)."""

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
from raytl.config.schema import ComputeConfig, SearchConfig
from raytl.data.formats import archives
from raytl.disk import disk_error, writing
from raytl.errors import DiskError, StoreError
from raytl.evaluation.table import Predictions
from raytl.models.tensors import save_tensors
from raytl.registry.registry import Registry
from raytl.run import atomic, journal
from raytl.run.logs import log_to
from raytl.run.mirror import held_as
from raytl.search.storage import open_storage
from raytl.store.local import LocalStore
from raytl.training import checkpoint
from raytl.training.checkpoint import Checkpoint, Progress
from raytl.training.scalars import write_scalars
from tests.cli.test_terminal import fail_with
from tests.registry.conftest import about

LIMIT = 200_000
BIG = bytes(2 * LIMIT)
TOO_LARGE = "the file is larger than this system allows"


@contextmanager
def small_files(limit: int = LIMIT) -> Iterator[None]:
    """Inside, no file of this process grows beyond `limit` bytes: the kernel refuses with EFBIG, in mid-write."""
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
            "a/b: the disk quota of this user is used up; expected 1,024 bytes left in it. Free some space, or ask for a "
            "larger quota",
        ),
        (
            errno.EFBIG,
            "a/b: the file is larger than this system allows; expected a limit that leaves 1,024 bytes. Raise the limit "
            "(`ulimit -f`), or use a file system that holds larger files",
        ),
        (
            errno.EROFS,
            "a/b: the file system is read-only; expected one that can be written. Name another folder, or mount it writable",
        ),
        (
            errno.EACCES,
            "a/b: permission denied; expected a file that this user may read and write. Change its mode or its owner",
        ),
    ],
)
def test_each_refusal_has_a_sentence_of_its_own(number: int, sentence: str) -> None:
    said = disk_error(OSError(number, os.strerror(number)), "a/b", 1024)
    assert str(said) == f"{sentence} and run the same command again."
    assert isinstance(said, StoreError)
    assert said.exit_code == 1


def test_without_a_size_the_sentence_has_none() -> None:
    said = disk_error(OSError(errno.ENOSPC, "x"), "a/b")
    assert str(said).startswith("a/b: the disk is full; expected enough space free. ")


@pytest.mark.parametrize(
    "error",
    [
        OSError("[Errno 28] Error writing bytes to file"),  # a number that is only in the text
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        shutil.Error([("a/s", "b/t", "[Errno 28] No space left on device: 'a/s' -> 'b/t'")]),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
        FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"),
    ],
    ids=["OSError", "Rust", "shutil", "SQLite", "tempfile"],
)
def test_a_full_disk_is_known_though_a_library_hides_the_number(error: Exception) -> None:
    assert "the disk is full" in str(disk_error(error))


def test_of_a_copy_the_target_is_named_and_of_an_unreadable_source_the_source() -> None:
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


def test_the_error_survives_the_way_from_a_worker() -> None:
    said = disk_error(OSError(errno.ENOSPC, "x"), "a/b")
    again = pickle.loads(pickle.dumps(said))
    assert (type(again), str(again)) == (DiskError, str(said))


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
    """`held_as` where the file system knows no links."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", refuse_link)
        try:
            held_as(source, target)
        except DiskError:
            shutil.rmtree(target)  # as the uploader does
            raise


def refuse_link(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("what", WRITES)
def test_a_write_that_the_disk_refuses_is_one_sentence_and_leaves_nothing(what: str, tmp_path: Path) -> None:
    prepare, write, left = WRITES[what]
    prepare(tmp_path)
    with pytest.raises(DiskError, match=f"^[^\n]*: {TOO_LARGE}; expected [^\n]*\\.$"), small_files():
        write(tmp_path)
    assert names(tmp_path) == left


@pytest.mark.parametrize("what", ["checkpoint", "report"])
def test_the_old_one_stays_whole_where_the_new_one_finds_no_space(what: str, tmp_path: Path) -> None:
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
        found = checkpoint.load(tmp_path / "last")
        assert found is not None
        assert found.progress.step == 7


def test_a_line_that_does_not_fit_is_taken_out_of_the_journal_and_never_lost_silently(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    journal.append(path, {"epoch": 1})
    before = path.read_bytes()
    with pytest.raises(DiskError, match=rf"metrics.jsonl: {TOO_LARGE}"), small_files(len(before) + 10):
        journal.append(path, {"epoch": 2, "loss": 0.123456})
    assert path.read_bytes() == before
    journal.append(path, {"epoch": 2})
    assert journal.read(path) == [{"epoch": 1}, {"epoch": 2}]


def test_a_study_that_found_no_space_goes_on_from_its_last_whole_line(tmp_path: Path) -> None:
    storage: Any = open_storage(tmp_path, SearchConfig())
    storage._backend.append_logs([{"op": 1}])
    with pytest.raises(DiskError, match=rf"study.log: {TOO_LARGE}"), small_files():
        storage._backend.append_logs([{"op": number, "text": "x" * 1000} for number in range(400)])
    storage._backend.append_logs([{"op": 2}])
    assert list(storage._backend.read_logs(0)) == [{"op": 1}, {"op": 2}]


def test_a_study_whose_last_line_a_death_tore_goes_on(tmp_path: Path) -> None:
    storage: Any = open_storage(tmp_path, SearchConfig())
    storage._backend.append_logs([{"op": 1}])
    with (tmp_path / "study.log").open("a") as file:
        file.write('{"op": 2, "na')
    storage._backend.append_logs([{"op": 3}])
    assert list(storage._backend.read_logs(0)) == [{"op": 1}, {"op": 3}]


def test_a_log_that_finds_no_space_says_so_once_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with log_to(Path("/dev/full"), "r"):
        for _ in range(3):
            logging.getLogger("raytl").info("a line")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("warning: /dev/full: the disk is full; expected enough space free. ")
    assert err.endswith("Until then the log lacks lines.\n")


def test_a_worker_whose_disk_is_full_ends_the_run_with_that_sentence() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    found = decide([EndedAttempt("failure", "x", 1, (error,))], ComputeConfig())
    assert isinstance(found, GiveUp)
    assert isinstance(found.error, DiskError)
    assert str(found.error).startswith("/data/x: the disk is full")


def test_a_command_ends_with_the_sentence_of_an_error_that_got_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(RuntimeError("I/O error: No space left on device (os error 28)")) == 1
    err = capsys.readouterr().err
    assert err == (
        "error: this machine's disk: the disk is full; expected enough space free. "
        "Free some space and run the same command again.\n"
    )


def test_an_unforeseen_error_is_told_though_its_traceback_finds_no_space(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/null/none")
    assert fail_with(ValueError("odd")) == 1
    assert "ValueError: odd\nUnexpected error; its traceback could not be written" in capsys.readouterr().err
