"""Checkpoints go up beside training: the newest, whole, in an order that a resume can trust."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from raytl.errors import Conflict, StoreError, Unavailable
from raytl.events import Message, Recorder
from raytl.run.mirror import BEST, LAST, Mirror
from raytl.run.uploader import Uploader
from raytl.store.lease import WriteToken, take
from raytl.store.memory import MemoryStore

FOLDERS = (BEST, LAST)


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(MemoryStore(str(tmp_path)), tmp_path / "here")


def write(mirror: Mirror, name: str, text: str) -> None:
    """Replaces the folder, as training does."""
    shutil.rmtree(mirror.root / name, ignore_errors=True)
    (mirror.root / name).mkdir(parents=True)
    (mirror.root / name / "state").write_text(text)


def stored(mirror: Mirror, tmp_path: Path, name: str) -> str:
    other = Mirror(mirror.store, tmp_path / "there")
    other.fetch()
    return (other.root / name / "state").read_text()


def test_what_was_given_is_there_once_it_is_closed(mirror: Mirror, tmp_path: Path) -> None:
    uploader = Uploader(mirror)
    for number in range(5):
        for name in FOLDERS:
            write(mirror, name, f"{name} {number}")
            uploader.submit(name)
    uploader.close()
    assert [stored(mirror, tmp_path, name) for name in FOLDERS] == [f"{name} 4" for name in FOLDERS]
    assert not (mirror.root / ".uploads").exists()


def test_the_newest_goes_up_and_what_it_replaced_while_waiting_does_not(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed, gate = [], threading.Event()
    real = Mirror.push_folder

    def slow(self: Mirror, name: str, source: Path, identity: list[int]) -> None:
        pushed.append((name, (source / "state").read_text()))
        gate.wait(10)
        real(self, name, source, identity)

    monkeypatch.setattr(Mirror, "push_folder", slow)
    uploader = Uploader(mirror)
    write(mirror, LAST, "0")
    uploader.submit(LAST)
    while not pushed:
        pass
    for number in range(1, 4):
        write(mirror, LAST, str(number))
        uploader.submit(LAST)
    write(mirror, BEST, "best")
    uploader.submit(BEST)
    gate.set()
    uploader.close()
    assert pushed == [(LAST, "0"), (BEST, "best"), (LAST, "3")]


def test_while_the_store_does_not_answer_training_goes_on_and_the_state_waits(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = [Unavailable("no answer")]
    real = Mirror.push_folder

    def push(self: Mirror, name: str, source: Path, identity: list[int]) -> None:
        if troubles:
            raise troubles.pop()
        real(self, name, source, identity)

    monkeypatch.setattr(Mirror, "push_folder", push)
    watcher = Recorder()
    uploader = Uploader(mirror, watcher)
    write(mirror, LAST, "1")
    uploader.submit(LAST)
    while troubles:
        pass
    uploader.close()
    assert stored(mirror, tmp_path, LAST) == "1"
    assert all(isinstance(event, Message) and event.level == "warning" for event in watcher.events)


def test_a_store_that_never_answers_is_an_error_at_the_end(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mirror, "push_folder", lambda *_: (_ for _ in ()).throw(Unavailable("no answer")))
    uploader = Uploader(mirror)
    write(mirror, LAST, "1")
    uploader.submit(LAST)
    with pytest.raises(Unavailable, match="no answer"):
        uploader.close()
    assert (mirror.root / LAST / "state").read_text() == "1"


def test_whoever_was_fenced_off_hears_it_with_the_next_checkpoint(mirror: Mirror, tmp_path: Path) -> None:
    uploader = Uploader(mirror)
    write(mirror, LAST, "1")
    uploader.submit(LAST)
    uploader.close()
    other = Mirror(mirror.store, tmp_path / "there")
    other.fetch()
    other.take_over()
    late = Uploader(mirror)
    write(mirror, LAST, "2")
    late.submit(LAST)
    with pytest.raises(Conflict, match="another process"):
        late.close()
    assert stored(mirror, tmp_path, LAST) == "1"


def test_what_an_earlier_process_left_unpushed_goes_up_first(mirror: Mirror, tmp_path: Path) -> None:
    for name in FOLDERS:
        write(mirror, name, f"{name} of one that was killed")
    uploader = Uploader(mirror)
    uploader.upload_pending()
    assert [stored(mirror, tmp_path, name) for name in FOLDERS] == [
        f"{name} of one that was killed" for name in FOLDERS
    ]
    assert all(mirror.is_pushed(name) for name in FOLDERS)
    uploader.close()


def test_whoever_lost_the_lease_pushes_nothing_more(mirror: Mirror) -> None:
    take(mirror.store).release()
    uploader = Uploader(mirror)
    take(mirror.store)
    write(mirror, LAST, "late")
    uploader.submit(LAST)
    with pytest.raises(Conflict, match="another raytl took over"):
        uploader.close()
    assert not list(mirror.store.list("checkpoints"))


def test_a_bug_in_the_thread_is_an_error_at_the_end(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mirror, "push_folder", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    uploader = Uploader(mirror)
    write(mirror, LAST, "1")
    uploader.submit(LAST)
    with pytest.raises(StoreError, match="upload of checkpoints failed.*disk"):
        uploader.close()


def test_a_late_write_of_one_that_had_the_right_before_is_written_over(mirror: Mirror, tmp_path: Path) -> None:
    """A worker that looked at the lease just before it changed hands, and put its checkpoint just after."""
    sweep = MemoryStore(str(tmp_path / "sweep"))
    trial = MemoryStore(f"{sweep.name}/trials/one")
    ours, late = Mirror(trial, tmp_path / "ours"), Mirror(trial, tmp_path / "late")
    uploader = Uploader(ours, write_token=WriteToken(sweep.uri, take(sweep).holder.token, 1))
    write(late, LAST, "late")
    late.push_folder(LAST, late.root / LAST)
    write(ours, LAST, "ours")
    uploader.submit(LAST)
    uploader.flush()
    assert stored(ours, tmp_path, LAST) == "ours"
    write(late, LAST, "later")
    with pytest.raises(Conflict, match="another raytl took over"):
        late.push_folder(LAST, late.root / LAST)
    uploader.close()


def test_checkpoints_wait_while_the_driver_is_not_heard_of(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = take(mirror.store)
    uploader = Uploader(mirror, watcher := Recorder(), WriteToken(mirror.store.uri, lease.holder.token, 1))
    write(mirror, LAST, "1")
    uploader.submit(LAST)
    uploader.flush()
    monkeypatch.setattr("raytl.store.lease.TERM_S", 0.0)
    write(mirror, LAST, "2")
    uploader.submit(LAST)
    while not watcher.events:
        pass
    assert stored(mirror, tmp_path, LAST) == "1"
    monkeypatch.undo()
    lease.renew()
    uploader.close()
    assert stored(mirror, tmp_path, LAST) == "2"
