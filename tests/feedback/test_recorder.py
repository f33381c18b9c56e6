"""What a server's recorder keeps, forgets and never waits for."""

from __future__ import annotations

import io
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.data.feedback import SUFFIXES, photos_in
from raytl.errors import ConfigError, Denied, Unavailable
from raytl.events import Message
from raytl.feedback import recorder as recording
from raytl.feedback.collection import Chosen, write_collection
from raytl.feedback.layout import host_token, is_state, window_of
from raytl.feedback.reading import read_records
from raytl.feedback.record import MAX_FEATURES, confidence_in, encoded_features, label_in, margin_in
from raytl.feedback.recorder import Keep, Recorder
from raytl.feedback.redact import redact_with, suffix_of
from raytl.feedback.reservoir import Lowest, Reservoir, Window
from raytl.feedback.retention import Retention, StoredWindow, expired
from raytl.store.local import LocalStore
from raytl.store.memory import MemoryStore
from tests.data.files import png16
from tests.feedback.made import NOW, photo, put_labels, put_photo, put_records, record

KEEP = Keep(random_images=4, uncertain=3, unfamiliar=2)
VIEW = {"image_px": 8, "resize_px": 8, "crop_mode": "center", "interpolation": "bilinear", "bits": 16, "frame": None}


def answer(confidence: float = 0.9, **more: object) -> dict[str, Any]:
    return {"label": "a", "confidence": confidence, "probabilities": {"a": confidence, "b": 1 - confidence}, **more}


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(str(tmp_path))


def test_a_window_has_a_uniform_sample_and_doubtful_images_of_the_rest(store: MemoryStore) -> None:
    recorder = Recorder(store, "host:1", KEEP, seed=0)
    for number in range(40):
        recorder.on_answer(photo(number), answer(0.5 + number / 100, unfamiliar=number % 10 == 0), np.ones(4), "7")
    recorder.close()
    records = read_records(store)
    assert Counter(each.why for each in records) == {"random": 4, "uncertain": 3, "unfamiliar": 2}
    assert {each.inclusion for each in records if each.why == "random"} == {0.1}
    assert {each.seen for each in records} == {40} and {each.version for each in records} == {"7"}
    assert len({each.photo for each in records}) == 9 == len(photos_in(store)) == recorder.counts.stored
    assert all("unfamiliar" in each.flags for each in records if each.why == "unfamiliar")
    assert max(each.margin for each in records if each.why == "uncertain") < 0.3
    assert np.array_equal(records[0].vector, np.ones(4))
    (key,) = [info.key for info in store.list("records/")]
    assert window_of(key) and key.endswith("-host-1.jsonl")


def test_every_item_is_in_the_sample_equally_often() -> None:
    counts = Counter[int]()
    for seed in range(2000):
        sample = Reservoir[int](3, random.Random(seed))
        for item in range(12):
            sample.offer(item)
        counts.update(sample.items)
        assert sample.inclusion == 0.25
    assert all(abs(counts[item] / 2000 - 0.25) < 0.04 for item in range(12))


def test_what_the_sample_drops_may_be_kept_for_another_reason() -> None:
    window = Window[int]("x", 2, 2, 1, random.Random(0))
    for item in range(50):
        window.offer(item, margin=item / 50, is_unfamiliar=item > 45)
    kept = list(window.retained())
    assert len(kept) == 5 == len({item for _, item in kept}) and window.seen == 50
    sampled = {item for why, item in kept if why == "random"}
    assert [item for why, item in kept if why == "uncertain"] == [item for item in range(46) if item not in sampled][:2]


def test_the_lowest_are_kept_and_none_if_none_fit() -> None:
    lowest = Lowest[str](2)
    assert [lowest.offer(score, str(score)) for score in (3.0, 1.0, 2.0)] == [None, None, "3.0"]
    assert lowest.items == ["1.0", "2.0"]
    assert Lowest[str](0).offer(1.0, "x") == "x"


class Stuck(MemoryStore):
    """A store whose writes wait for a person."""

    free = threading.Event()

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> Any:
        self.free.wait()
        return super().put_bytes(key, content, expected)


def test_a_full_queue_drops_answers_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_QUEUE_BYTES", 4096)
    clock = [NOW]
    Stuck.free = threading.Event()
    recorder = Recorder(Stuck(str(tmp_path)), "x", KEEP, now=lambda: clock[0])
    recorder.add(b"\xff\xd8\xff", answer(), None, "1")
    clock[0] += timedelta(hours=2)  # the next answer makes the thread store, which is stuck
    for _ in range(100):
        recorder.add(bytes(100), answer(), None, "1")
    assert recorder.counts.seen == 101
    assert recorder.counts.dropped >= 100 - 4096 // 100 - 1
    Stuck.free.set()
    recorder.close()
    assert recorder.counts.failed == 0


def test_the_end_waits_once_for_a_store_that_does_not_answer_and_says_so(tmp_path: Path) -> None:
    events: list[object] = []
    Stuck.free = threading.Event()
    recorder = Recorder(Stuck(str(tmp_path)), "x", KEEP, on_event=events.append)
    recorder.on_answer(photo(1), answer(), None, "1")
    waits: list[float | None] = []
    end = recorder._thread.join
    recorder._thread.join = waits.append  # type: ignore[assignment]
    recorder.close(timeout_s=0.2)
    assert waits[0] is not None and 0 <= waits[0] < 0.3
    text = "feedback: the last window was not stored within 0.2 s"
    assert [each.text for each in events if isinstance(each, Message)] == [text]
    Stuck.free.set()
    end(60)
    assert len(read_records(recorder._store)) == 1


def test_a_window_ends_by_the_clock(store: MemoryStore) -> None:
    clock = [NOW]
    recorder = Recorder(store, "x", KEEP, now=lambda: clock[0])
    recorder.add(photo(1), answer(), None, "1")
    while recorder._window.seen < 1:  # the thread takes it
        threading.Event().wait(0.01)
    clock[0] += timedelta(hours=1)
    recorder.add(photo(2), answer(), None, "1")
    recorder.close()
    assert [window_of(info.key) for info in store.list("records/")] == [NOW, NOW + timedelta(hours=1)]


def test_a_photo_that_is_none_and_odd_answers_end_nothing(store: MemoryStore) -> None:
    events: list[object] = []
    recorder = Recorder(store, "x", KEEP, view=VIEW, on_event=events.append)
    recorder.add(b"no photo", answer(), None, "1")
    recorder.add(photo(1), {"confidence": "much"}, None, "1")
    recorder.add(photo(2), answer(), np.full(3, np.nan), "1")
    recorder.close()
    (kept,) = read_records(store)
    assert kept.features == "" and set(kept.pixels) >= {"brightness", "sharpness"}
    assert sum("was not recorded" in each.text for each in events if isinstance(each, Message)) == 2


def test_a_photo_that_only_the_server_decodes_is_recorded(store: MemoryStore) -> None:
    events: list[object] = []
    recorder = Recorder(store, "x", KEEP, view=VIEW, on_event=events.append)
    recorder.add(png16(np.full((8, 8, 3), 40_000)), answer(), None, "1")
    recorder.close()
    (kept,) = read_records(store)
    assert (kept.suffix, kept.pixels["brightness"] > 0, events) == ("png", True, [])


def test_an_error_of_any_kind_costs_one_window_alone(tmp_path: Path) -> None:
    class Full(MemoryStore):
        def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> Any:
            if key.startswith("photos/") and not recorder.counts.failed:
                raise OSError("no space left on the device")
            return super().put_bytes(key, content, expected)

    events, clock = list[object](), [NOW]
    recorder = Recorder(Full(str(tmp_path)), "x", KEEP, on_event=events.append, now=lambda: clock[0])
    recorder.add(photo(1), answer(), None, "1")
    while recorder._window.seen < 1:  # the thread takes it
        threading.Event().wait(0.01)
    clock[0] += timedelta(hours=2)
    recorder.add(photo(2), answer(), None, "2")
    recorder.close()
    assert recorder.counts.failed == 1
    assert any("was not stored: no space left" in each.text for each in events if isinstance(each, Message))
    assert [each.version for each in read_records(MemoryStore(str(tmp_path)))] == ["2"]


def test_a_bucket_that_is_away_costs_the_window_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(MemoryStore):
        def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> Any:
            raise Unavailable("no route")

    monkeypatch.setattr("raytl.store.retry.time.sleep", lambda _: None)
    events: list[object] = []
    recorder = Recorder(Away(str(tmp_path)), "x", KEEP, on_event=events.append)
    recorder.add(photo(1), answer(), None, "1")
    recorder.close()
    assert recorder.counts.failed == 1
    assert any("was not stored: no route" in each.text for each in events if isinstance(each, Message))


def command(code: str) -> str:
    return f'{sys.executable} -c "{code}"'


COPY = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() + b'!')"


def test_photos_are_redacted_before_they_are_stored(store: MemoryStore) -> None:
    recorder = Recorder(store, "x", KEEP, redact=redact_with(command(COPY), 1 << 20))
    recorder.add(photo(1), answer(), None, "1")
    recorder.close()
    (kept,) = read_records(store)
    assert store.get_bytes(kept.key) == photo(1) + b"!"


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('no photo')", "pass", "import time; time.sleep(60)"])
def test_a_photo_whose_redaction_fails_is_not_stored(store: MemoryStore, code: str) -> None:
    recorder = Recorder(store, "x", KEEP, redact=redact_with(command(code), 1 << 20, limit_s=0.5))
    recorder.add(photo(1), answer(), None, "1")
    recorder.close()
    (kept,) = read_records(store)
    assert kept.suffix == "" and not photos_in(store) and recorder.counts.unstored == 1


def test_redaction_needs_a_program_and_no_shell(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        redact_with("  ", 10)
    with pytest.raises(ConfigError, match="expected a program and its arguments"):
        redact_with("'unclosed", 10)
    target = tmp_path / "owned"
    assert redact_with(f"cat ; touch {target}", 1 << 20)(photo(1)) is None and not target.exists()
    assert redact_with("no-such-program-at-all", 10)(photo(1)) is None


def test_suffixes_are_told_by_content() -> None:
    kinds = {b"\xff\xd8\xff\xe0": "jpg", b"RIFF1234WEBPVP8 ": "webp", b"GIF89a": "gif", b"<svg": "", b"": ""}
    kinds |= {b"\0\0\0\x18ftypheic\0\0\0\0": "heic", b"P7 x": "", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom": ""}
    assert {content: suffix_of(content) for content in kinds} == kinds


@pytest.mark.parametrize("suffix", [each for each in SUFFIXES if each != "heic"])
def test_every_kind_of_photo_that_a_server_answers_is_kept(suffix: str) -> None:
    content, modes = io.BytesIO(), {"pgm": "L", "pbm": "1"}
    Image.new(modes.get(suffix, "RGB"), (8, 8)).save(content, Image.registered_extensions()[f".{suffix}"])
    assert suffix_of(content.getvalue()) == suffix


def window(hours: int, size: int = 10) -> StoredWindow:
    began = NOW - timedelta(hours=hours)
    return StoredWindow(f"records/{hours}", began, size, frozenset())


def test_windows_expire_by_age_and_then_by_bytes() -> None:
    windows = [window(1), window(30), window(2), window(50)]
    assert [each.key for each in expired(windows, NOW, 1, 1000)] == ["records/50", "records/30"]
    assert [each.key for each in expired(windows, NOW, 10, 25)] == ["records/50", "records/30"]
    assert expired(windows, NOW, 10, 40) == []
    assert len(expired(windows, NOW, 10, 0)) == 4


def test_expired_photos_go_but_not_those_that_are_labelled_or_needed_or_of_others(store: MemoryStore) -> None:
    old, labelled, shared = (put_photo(store, photo(n)) for n in range(3))
    gone = put_records(store, [record(each) for each in (old, labelled, shared)], NOW - timedelta(days=40))
    stays = put_records(store, [record(shared)])
    put_labels(store, {labelled: "a"})
    foreign = ["photos/private.jpg", f"photos/{'a' * 64}.exe", "records/notes.txt", "readme.md", "monitor/x.json"]
    for key in foreign:
        store.put_bytes(key, b"x")
    assert Retention(store, 30, 1 << 30).apply(NOW) == 1
    assert set(photos_in(store)) == {labelled, shared}
    assert not store.exists(gone) and store.exists(stays) and all(map(store.exists, foreign))


def test_photos_that_somebody_may_be_labelling_stay_for_90_days(store: MemoryStore) -> None:
    chosen, other, labelled = (put_photo(store, photo(n)) for n in range(3))
    put_records(store, [record(each) for each in (chosen, other, labelled)], NOW - timedelta(days=31))
    rows = [Chosen(each, "a", "1", NOW.isoformat(), "random", 2.0) for each in (chosen, labelled)]
    write_collection(store, "me", NOW - timedelta(days=2), rows)
    put_labels(store, {labelled: "a"})
    assert Retention(store, 30, 1 << 30).apply(NOW) == 1
    assert set(photos_in(store)) == {chosen, labelled}
    put_records(store, [], NOW)  # a window that expires later
    assert Retention(store, 30, 1 << 30).apply(NOW + timedelta(days=89)) == 1
    assert set(photos_in(store)) == {labelled}


def test_nothing_is_deleted_while_collections_cannot_be_read(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = put_photo(store, photo(1))
    put_records(store, [record(chosen)], NOW - timedelta(days=31))
    write_collection(store, "me", NOW, [Chosen(chosen, "a", "1", NOW.isoformat(), "random", 2.0)])
    real = MemoryStore.get_bytes

    def denied(self: MemoryStore, key: str, *args: Any, **values: Any) -> bytes:
        if key.startswith("collections/"):
            raise Denied("no access")
        return real(self, key, *args, **values)

    monkeypatch.setattr(MemoryStore, "get_bytes", denied)
    with pytest.raises(Denied, match="no access"):
        Retention(store, 30, 1 << 30).apply(NOW)
    assert set(photos_in(store)) == {chosen}


def test_damaged_windows_expire_too(store: MemoryStore) -> None:
    key = put_records(store, [], NOW - timedelta(days=40))
    store.put_bytes(key, b"{broken")
    store.put_bytes("records/99999999T999999Z-x.jsonl", b"")
    assert Retention(store, 30, 1 << 30).apply(NOW) == 1
    assert [info.key for info in store.list("records/")] == ["records/99999999T999999Z-x.jsonl"]


def test_answers_of_every_task_have_a_label_a_confidence_and_a_margin() -> None:
    labels: Mapping[str, Any] = {"labels": ["b", "a"], "probabilities": {"a": 0.9, "b": 0.6, "c": 0.1}}
    objects: Mapping[str, Any] = {"objects": [{"label": "x", "score": 0.7}, {"label": "x", "score": 0.4}]}
    assert (label_in(labels), confidence_in(labels), margin_in(labels)) == ("a, b", 0.6, 0.6)
    assert (label_in(objects), confidence_in(objects)) == ("x", 0.7)
    assert (label_in({"objects": []}), confidence_in({"objects": []})) == ("", 0.0)
    assert (label_in({"size": [1, 2], "map_png": ""}), confidence_in({})) == ("", 0.0)
    assert margin_in(answer(0.8)) == pytest.approx(0.6)


def test_features_that_do_not_fit_are_left_out() -> None:
    assert encoded_features(None) == encoded_features(np.zeros(0)) == encoded_features(np.zeros(MAX_FEATURES + 1)) == ""
    assert encoded_features(np.array([1e9])) == ""


def test_names_of_servers_are_parts_of_keys() -> None:
    assert host_token("../../etc:8000") == "etc-8000" and host_token("") == "server"
    assert is_state(f"monitor/{host_token('ü' * 300 + 'x')}.json")


def test_a_record_survives_its_line(store: MemoryStore) -> None:
    row = record(put_photo(store, photo(1)), label="grün\n", flags=("abstained",))
    put_records(store, [row])
    assert read_records(store) == [row]
    assert json.loads(row.line())["label"] == "grün\n"
    assert datetime.fromisoformat(row.time) == NOW


def test_the_recorder_writes_to_a_folder(tmp_path: Path) -> None:
    recorder = Recorder(LocalStore(tmp_path / "f"), "x", KEEP)
    recorder.add(photo(1), answer(), None, "1")
    recorder.close()
    assert sorted(path.parent.name for path in (tmp_path / "f").rglob("*.*") if path.suffix in (".png", ".jsonl")) == [
        "photos",
        "records",
    ]
