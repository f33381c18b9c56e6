"""A working copy and what is stored: the same after a push and a fetch, and never half."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import Conflict, RunError, StoreError, Unavailable
from raytl.run import mirror as mirror_module
from raytl.run.mirror import BEST, WHOLE, Mirror
from raytl.run.run_store import RunStore
from raytl.store import retry
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.lease import WriteToken
from raytl.store.memory import MemoryStore
from raytl.store.open import open_store

Copies = Callable[[str], Mirror]


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.s3)])
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Copies:
    """Working copies, by the name of the node, of one place in a store."""
    uri = f"memory://{tmp_path}" if request.param == "memory" else f"s3://{request.getfixturevalue('bucket')}/runs/a"
    return lambda node: Mirror(open_store(uri), tmp_path / node)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "MAX_PAUSE_S", 0.0)


def write(mirror: Mirror, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = mirror.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(mirror: Mirror) -> dict[str, str]:
    """Return the files of a run in the working copy."""
    paths = [path for path in mirror.root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(mirror.root).as_posix(): path.read_text() for path in paths}


def give(mirror: Mirror, text: str) -> None:
    """The node's best checkpoint, replaced and pushed."""
    shutil.rmtree(mirror.root / BEST, ignore_errors=True)
    write(mirror, {f"{BEST}/model": text, f"{BEST}/deep/card": f"card of {text}"})
    mirror.push_folder(BEST, mirror.root / BEST)


def test_what_is_pushed_here_is_fetched_there(copies: Copies) -> None:
    here, there = copies("here"), copies("there")
    write(here, {"experiment.yaml": "a", "evaluation/test/report.md": "é", "manifest.json": "{}", ".lock": "mine"})
    here.push()
    give(here, "one")
    there.fetch()
    assert read(there) == read(here)
    give(here, "two")
    write(here, {"experiment.yaml": "b"})
    here.push()
    there.fetch()
    assert read(there) == read(here)
    stored = [info.key for info in here.store.list(BEST)]
    assert len(stored) == 3, "only the newest is kept"


def test_only_what_changed_travels(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = copies("here"), copies("there")
    write(here, {"one": "1", "two": "2"})
    here.push()
    there.fetch()
    moved: list[str] = []
    kind = type(here.store)
    put, get = kind.put_bytes, kind.get_to_file
    monkeypatch.setattr(kind, "put_bytes", lambda self, key, *a: (moved.append(f"put {key}"), put(self, key, *a))[1])
    monkeypatch.setattr(
        kind, "get_to_file", lambda self, key, *to: (moved.append(f"get {key}"), get(self, key, *to))[1]
    )
    write(here, {"two": "2, but longer"})
    here.push()
    there.fetch()
    here.push()
    there.fetch()
    assert moved == ["put two", "get two"]


def test_what_went_away_there_goes_here(copies: Copies) -> None:
    here = copies("here")
    write(here, {"one": "1", "two": "2"})
    here.push()
    give(here, "x")
    for info in list(here.store.list()):
        if info.key != "two":
            here.store.delete(info.key)
    here.fetch()
    assert read(here) == {"two": "2"}


def test_what_this_node_did_not_push_yet_is_kept_until_another_writes(copies: Copies) -> None:
    here, there = copies("here"), copies("there")
    give(here, "pushed")
    shutil.rmtree(here.root / BEST)
    write(here, {f"{BEST}/model": "not pushed"})
    here.fetch()
    assert read(here)[f"{BEST}/model"] == "not pushed"
    there.fetch()
    give(there, "of another")
    here.fetch()
    assert read(here)[f"{BEST}/model"] == "of another"


def test_a_push_that_dies_on_the_way_leaves_the_checkpoint_before_it(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = copies("here"), copies("there")
    give(here, "one")
    kind = type(here.store)
    put = kind.put_bytes

    def dies(self: ObjectStore, key: str, *given: Any) -> ObjectInfo:
        if key.endswith(WHOLE):
            raise KeyboardInterrupt
        return put(self, key, *given)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "put_bytes", dies)
        with pytest.raises(KeyboardInterrupt):
            give(here, "two")
    there.fetch()
    assert read(there)[f"{BEST}/model"] == "one"
    give(here, "three")
    assert len(list(here.store.list(BEST))) == 3, "what the broken push left is gone"


@pytest.mark.usefixtures("no_pause")
def test_other_bytes_than_were_put_are_not_taken(copies: Copies) -> None:
    here, there = copies("here"), copies("there")
    give(here, "right")
    (key,) = [info.key for info in here.store.list(BEST) if info.key.endswith("/model")]
    here.store.put_bytes(key, b"wrong")  # of the same length
    with pytest.raises(Unavailable, match="content does not match its digest"):
        there.fetch()
    assert read(there) == {}


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_again(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = copies("here"), copies("there")
    give(here, "one")
    kind = type(here.store)
    get = kind.get_to_file
    left = ["two"]

    def replaced(self: MemoryStore, key: str, path: Path, size: int) -> None:
        if left:
            give(here, left.pop())
        get(self, key, path, size)

    monkeypatch.setattr(kind, "get_to_file", replaced)
    there.fetch()
    assert read(there)[f"{BEST}/model"] == "two"


def test_of_two_writers_the_second_to_write_is_refused(copies: Copies) -> None:
    here, there = copies("here"), copies("there")
    give(here, "one")
    there.fetch()
    give(there, "two")
    with pytest.raises(Conflict, match=WHOLE):
        give(here, "three")
    copies("third").fetch()
    assert read(copies("third"))[f"{BEST}/model"] == "two"


def test_whoever_takes_over_fences_off_the_one_before(copies: Copies) -> None:
    here, there = copies("here"), copies("there")
    give(here, "one")
    there.fetch()
    there.take_over()
    with pytest.raises(StoreError, match=WHOLE):
        give(here, "late")
    give(there, "two")
    third = copies("third")
    third.fetch()
    assert read(third)[f"{BEST}/model"] == "two"


@pytest.fixture
def generations(copies: Copies) -> tuple[Mirror, Mirror, Mirror]:
    """Return the first writer, its successor, and a reader."""
    here, there = copies("here"), copies("there")
    here.generation, there.generation = 1, 2
    return here, there, copies("third")


def test_a_checkpoint_holds_the_generation_of_its_writer_and_whoever_takes_over_marks_it(
    generations: tuple[Mirror, Mirror, Mirror],
) -> None:
    here, there, _ = generations
    give(here, "one")
    assert json.loads(here.store.get_bytes(f"{BEST}/{WHOLE}"))["generation"] == 1
    there.fetch()
    there.take_over()
    assert json.loads(here.store.get_bytes(f"{BEST}/{WHOLE}"))["generation"] == 2
    with pytest.raises(Conflict, match=r"another raytl took over .* has generation 2, this process has 1"):
        give(here, "late")
    with pytest.raises(Conflict, match=r"another raytl took over"):
        here.push_folder(BEST, here.root / BEST, overwrite=True)
    with pytest.raises(Conflict, match=r"another raytl took over"):
        here.take_over()


def test_a_first_checkpoint_that_was_under_way_while_another_took_over_is_not_taken_and_is_replaced(
    generations: tuple[Mirror, Mirror, Mirror],
) -> None:
    here, there, third = generations
    there.fetch()
    there.take_over()
    give(here, "late")  # nothing is there yet that could refuse it
    third.fetch()
    assert read(third) == {}
    give(there, "two")
    third.fetch()
    assert read(third)[f"{BEST}/model"] == "two"


def test_a_late_network_of_a_warm_up_is_not_taken_either(
    generations: tuple[Mirror, Mirror, Mirror], tmp_path: Path
) -> None:
    here, there, third = generations
    there.fetch()
    there.take_over()
    uri = here.store.uri
    for place in ("warmup", "trials/1"):
        below = Mirror(open_store(f"{uri}/{place}"), tmp_path / "late" / place, generation=1)
        give(below, "late")
    third.fetch()
    assert [name.partition("/checkpoints")[0] for name in read(third) if name.endswith("/model")] == ["trials/1"]
    own, trial = (RunStore(f"{uri}/{place}", write_token=WriteToken(uri, "a", 2)) for place in ("warmup", "trials/1"))
    own.fetch()
    trial.fetch()
    assert trial.folder.best.exists(), "a trial resumes from what its sweep had before"
    assert not own.folder.best.exists(), "the owner would have marked it"


def test_who_lost_the_lease_before_its_put_removes_no_file_of_the_successor(
    generations: tuple[Mirror, Mirror, Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, third = generations
    give(here, "one")
    there.fetch()
    before = mirror_module._remove

    def late(store: ObjectStore, keys: list[str]) -> None:
        monkeypatch.setattr(mirror_module, "_remove", before)
        there.fetch()
        there.take_over()
        give(there, "successor")
        before(store, keys)

    monkeypatch.setattr(mirror_module, "_remove", late)
    give(here, "two")
    third.fetch()
    assert read(third)[f"{BEST}/model"] == "successor"


def test_the_highest_generation_that_wrote_is_known_without_a_lease(
    generations: tuple[Mirror, Mirror, Mirror],
) -> None:
    here, there, third = generations
    assert third.highest_generation() == 0
    give(here, "one")
    assert third.highest_generation() == 1
    there.fetch()
    there.take_over()
    assert third.highest_generation() == 2
    third.fetch()
    assert "fence.json" not in read(third)


def test_checkpoints_of_raytl_0_1_0_are_read_and_taken_over(generations: tuple[Mirror, Mirror, Mirror]) -> None:
    here, there, third = generations
    give(here, "one")
    whole = json.loads(here.store.get_bytes(f"{BEST}/{WHOLE}"))
    del whole["generation"]
    here.store.put_bytes(f"{BEST}/{WHOLE}", json.dumps(whole).encode())
    there.fetch()
    there.take_over()
    third.fetch()
    assert read(third)[f"{BEST}/model"] == "one"


def test_a_key_that_would_lie_outside_is_refused(tmp_path: Path) -> None:
    mirror = Mirror(MemoryStore(str(tmp_path)), tmp_path / "here")
    mirror.store.put_bytes("../evil", b"1")
    with pytest.raises(RunError, match=r"'\.\./evil', which would be outside"):
        mirror.fetch()
    assert not (tmp_path / "evil").exists()


def test_a_run_is_set_aside_whole(copies: Copies, tmp_path: Path) -> None:
    here = copies("here")
    write(here, {"experiment.yaml": "a"})
    here.push()
    give(here, "one")
    aside = Mirror(open_store(f"{here.store.uri}.old-1"), tmp_path / "aside")
    write(here, {"checkpoints/last/state": "never pushed"})
    before = read(here)
    here.set_aside(aside.store)
    here.fetch()
    aside.fetch()
    assert (read(here), read(aside)) == ({}, before)


def test_the_checkpoints_of_runs_below_it_go_along_and_go_away(copies: Copies) -> None:
    here, there = copies("here"), copies("there")
    names = [f"trials/trial-{number}/{BEST}" for number in range(3)]
    write(here, {f"{name}/model": name for name in names} | {"study.log": "asked", "trials/.ray/x": "not this"})
    here.push_all()
    there.fetch()
    assert read(there) == {f"{name}/model": name for name in names} | {"study.log": "asked"}
    shutil.rmtree(here.root / names[0])
    shutil.rmtree(here.root / names[1])
    write(here, {f"{names[1]}/model": "better"})
    here.push_all()
    there.fetch()
    assert {name: text for name, text in read(there).items() if name != "study.log"} == {
        f"{names[1]}/model": "better",
        f"{names[2]}/model": names[2],
    }
    assert len(list(here.store.list("trials/"))) == 4


def test_checkpoints_that_did_not_change_do_not_travel(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    here = copies("here")
    write(here, {f"trials/t/{BEST}/model": "one"})
    here.push_all()
    monkeypatch.setattr(Mirror, "push_folder", lambda *_: pytest.fail("nothing changed"))
    here.push_all()


def test_a_run_that_was_taken_away_leaves_nothing_to_go_on_from(copies: Copies) -> None:
    here = copies("here")
    give(here, "one")
    write(here, {"checkpoints/last/state": "never pushed"})
    for info in list(here.store.list()):
        here.store.delete(info.key)
    here.fetch()
    assert read(here) == {}


def test_of_two_looks_at_a_test_in_one_moment_the_second_is_refused(copies: Copies) -> None:
    here, there = copies("here"), copies("there")
    for mirror in (here, there):
        mirror.fetch()
        write(mirror, {"test_ledger.jsonl": mirror.root.name})
    here.push()
    with pytest.raises(Conflict, match="test_ledger"):
        there.push()
