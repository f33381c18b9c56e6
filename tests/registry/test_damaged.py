"""One unreadable object does not stop a registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raytl.errors import RegistryError
from raytl.events import Message, Recorder
from raytl.registry.cleaning import plan_cleanup
from raytl.registry.record import CHAMPION, PREVIOUS
from raytl.registry.registry import Registry
from raytl.store.memory import MemoryStore
from tests.registry.conftest import about


@pytest.fixture
def seen() -> Recorder:
    return Recorder()


@pytest.fixture
def trio(tmp_path: Path, seen: Recorder) -> Registry:
    """Three versions in memory; the second is the champion, the first the previous one."""
    registry = Registry(MemoryStore(f"memory://{tmp_path}/trio"), seen)
    (tmp_path / "model").write_text("weights")
    (tmp_path / "folder").mkdir()
    (tmp_path / "model").rename(tmp_path / "folder" / "model")
    for _ in range(3):
        registry.publish(tmp_path / "folder", about())
    registry.promote(1, registry.state(), "me", "first")
    registry.promote(2, registry.state(), "me", "second")
    seen.events.clear()
    return registry


def warnings(seen: Recorder) -> list[str]:
    return [event.text for event in seen.events if isinstance(event, Message) and event.level == "warning"]


@pytest.mark.parametrize(
    "key",
    [
        "versions/README.md", "versions/.DS_Store", "versions/000004.json.bak", "versions/4.json", "versions/sub/000004.json",
        "versions/-00004.json", "versions/00000٤.json", "versions/999999999999999999999.json", "moves/notes.txt",
    ],
)  # fmt: skip
def test_a_stray_object_is_ignored_and_listed(trio: Registry, key: str) -> None:
    trio.store.put_bytes(key, b"hello")
    assert trio.numbers() == [1, 2, 3]
    assert (trio.state().champion, trio.resolve(CHAMPION), len(trio.history())) == (2, 2, 2)
    found = trio.survey()
    assert (found.strays, found.unread) == ([key], [])
    assert plan_cleanup(trio, 1, {}).kept.keys() == {1, 2, 3}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"null", b'{"number": 1}', b"\xff", b'{"number": 9e999}']
)
def test_a_damaged_record_is_listed_and_the_others_are_read(trio: Registry, seen: Recorder, content: bytes) -> None:
    trio.store.put_bytes("versions/000003.json", content)
    assert [record.number for record in trio.records()] == [1, 2]
    assert (trio.state().champion, trio.record(2).number) == (2, 2)
    (unread,) = trio.survey().unread
    assert unread.key == "versions/000003.json"
    assert unread.reason.startswith(f"{trio.uri}/versions/000003.json: ")
    assert warnings(seen) == [f"ignored unreadable object: {unread.reason}"]
    with pytest.raises(RegistryError, match=r"versions/000003\.json: .*restore it there, or delete it"):
        trio.record(3)
    newest = trio.newest_record()
    assert newest is not None
    assert newest.number == 2


def test_the_number_of_a_damaged_record_is_not_given_again(trio: Registry, tmp_path: Path) -> None:
    trio.store.put_bytes("versions/000003.json", b"{")
    assert trio.publish(tmp_path / "folder", about()).number == 4


def test_a_new_version_is_not_the_champion_whose_record_was_deleted(trio: Registry, tmp_path: Path) -> None:
    trio.promote(3, trio.state(), "me", "third")
    trio.store.delete("versions/000003.json")
    assert trio.publish(tmp_path / "folder", about()).number == 4
    with pytest.raises(RegistryError, match="no version 3; the newest versions: 1, 2, 4"):
        trio.record(trio.resolve(CHAMPION))


@pytest.mark.parametrize("key", ["bundles/000003/onnx-fp32/model.json", "reports/000003/test_ledger.jsonl"])
def test_a_new_version_has_no_bundles_or_reports_of_one_that_was_deleted(
    trio: Registry, tmp_path: Path, key: str
) -> None:
    trio.store.put_bytes(key, b"{}")
    trio.store.put_bytes("reports/notes.txt", b"hello")
    trio.store.delete("versions/000003.json")
    trio.generation = 1
    assert trio.publish(tmp_path / "folder", about()).number == 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"number": 7}, "number: found 7; expected 3"),
        ({"token": "../../secret"}, "token: found the text '../../secret'; expected letters, digits"),
        (
            {"files": {"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}},
            "files./etc/passwd: .* expected a relative path",
        ),
        (
            {"files": {"a": {"bytes": 1, "sha256": "12"}}},
            "files.a.sha256: found the text '12'; expected 64 hexadecimal",
        ),
        ({"about": None}, "about: found null; expected an object with the keys model, classes"),
    ],
)
def test_an_altered_record_is_named_with_its_field(trio: Registry, change: dict[str, object], problem: str) -> None:
    record = json.loads(trio.store.get_bytes("versions/000003.json"))
    trio.store.put_bytes("versions/000003.json", json.dumps({**record, **change}).encode())
    with pytest.raises(RegistryError, match=rf"versions/000003\.json: {problem}"):
        trio.record(3)


def test_after_a_damaged_move_the_aliases_are_those_before_it_and_the_next_move_heals(
    trio: Registry, seen: Recorder
) -> None:
    trio.store.put_bytes("moves/00000002.json", b'{"number": "two"}')
    state = trio.state()
    assert (state.moves, state.champion) == (2, 1)
    assert ["moves/00000002.json" in text for text in warnings(seen)] == [True]
    move = trio.promote(3, state, "me", "again")
    assert (move.number, move.aliases) == (3, {CHAMPION: 3, PREVIOUS: 1})
    assert [move.number for move in trio.history()] == [1, 3]
    assert (trio.state().champion, trio.newest_state().champion) == (3, 3)


def test_a_move_that_was_damaged_between_two_reads_is_skipped(trio: Registry) -> None:
    before = trio.state()
    trio.store.put_bytes("moves/00000003.json", b"{")
    assert trio.promote(3, before, "me", "again").number == 4
    assert trio.state().champion == 3


def test_without_a_move_that_can_be_read_no_alias_is_known(trio: Registry) -> None:
    for number in (1, 2):
        trio.store.put_bytes(f"moves/{number:08d}.json", b"")
    with pytest.raises(RegistryError, match=r"none of the 2 moves is readable.*Restore the newest one, or delete all"):
        trio.state()


@pytest.mark.parametrize("key", ["versions/000001.json", "moves/00000001.json"])
def test_nothing_is_cleaned_while_an_object_cannot_be_read(trio: Registry, key: str) -> None:
    trio.store.put_bytes(key, b"{")
    with pytest.raises(RegistryError, match=rf"1 unreadable objects.*nothing was removed[\s\S]*{key}"):
        plan_cleanup(trio, 1, {})


def test_keys_of_a_newer_raytl_are_ignored_and_listed(trio: Registry, seen: Recorder) -> None:
    record = json.loads(trio.store.get_bytes("versions/000002.json"))
    record["about"]["licence"], record["signature"] = "MIT", "x"
    trio.store.put_bytes("versions/000002.json", json.dumps(record).encode())
    assert trio.record(2) == trio.record(2)
    ignored = "ignored keys that this version of raytl does not know: about.licence, signature"
    assert warnings(seen) == [f"{trio.uri}/versions/000002.json: {ignored}"]
