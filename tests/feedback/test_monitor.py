"""The monitor of a server: its evidence, its state, and the alarm of several servers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from raytl.bundle.card import BundleCard, Origin, Thresholds, Unfamiliar, View, entry_of
from raytl.errors import ModelError
from raytl.events import Message
from raytl.feedback.monitor import (
    ALPHA,
    Monitor,
    alarm_of,
    current_alarm,
    distance_in,
    open_monitor,
    view_properties,
)
from raytl.feedback.recorder import Keep, Recorder
from raytl.feedback.reference import MAX_ROWS, PIXELS, REFERENCE_FORMAT, MonitorReference, monitor_reference
from raytl.feedback.retention import Retention
from raytl.store.memory import MemoryStore
from tests.feedback.made import photo

RNG = np.random.default_rng(0)


def reference(n: int = 200) -> MonitorReference:
    rng = np.random.default_rng(1)
    value = monitor_reference("abc", rng.random(n), rng.random(n), rng.normal(size=(n, 7)))
    return REFERENCE_FORMAT.typed(json.loads(json.dumps(value)), "x")


def stream(monitor: Monitor, count: int, shift: float = 0.0, seed: int = 2) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        pixels = dict(zip(PIXELS, (rng.normal(size=5) + shift).tolist(), strict=True))
        monitor.add(rng.random(), np.array([rng.random()]), pixels)


def monitor(version: str = "7") -> Monitor:
    return Monitor(reference(), version, distance=lambda features: float(features[0]), seed=0)


def test_a_stream_like_the_reference_raises_no_alarm_and_another_one_does() -> None:
    quiet, loud = monitor(), monitor()
    stream(quiet, 300)
    stream(loud, 60, shift=1.5)
    assert not quiet.is_alarm and loud.is_alarm
    gauges = loud.gauges()
    assert (gauges["raytl_monitor_images"], gauges["raytl_monitor_alarm"]) == (60, 1.0)
    assert gauges["raytl_monitor_evidence_peak"] >= 1 / ALPHA > quiet.gauges()["raytl_monitor_evidence_peak"]
    assert gauges["raytl_monitor_evidence_sharpness"] > gauges["raytl_monitor_evidence_confidence"]


def test_an_image_without_all_statistics_is_left_out() -> None:
    one = monitor()
    one.add(0.5, None, dict.fromkeys(PIXELS, 0.0))
    one.add(0.5, np.zeros(1), {"brightness": 1.0})
    one.add(float("nan"), np.zeros(1), dict.fromkeys(PIXELS, 0.0))
    assert one.gauges()["raytl_monitor_images"] == 0


def test_a_restarted_server_goes_on(tmp_path: Path) -> None:
    store, first = MemoryStore(str(tmp_path)), monitor()
    stream(first, 60, shift=1.5)
    first.save(store, "one")
    again = monitor()
    assert again.resume(store, "one") and again.is_alarm
    assert again.gauges() == pytest.approx(first.gauges())
    assert not monitor("8").resume(store, "one"), "another version starts anew"
    assert not again.resume(store, "two")


def test_a_damaged_state_is_named_and_the_monitor_starts_anew(tmp_path: Path) -> None:
    store, events = MemoryStore(str(tmp_path)), list[object]()
    store.put_bytes("monitor/one.json", b'{"format": 1}')
    assert not monitor().resume(store, "one", events.append)
    assert isinstance(events[0], Message) and "monitor/one.json" in events[0].text


def test_more_servers_need_more_evidence_each(tmp_path: Path) -> None:
    loud, quiet = monitor(), monitor()
    stream(loud, 60, shift=1.5)
    peak = loud.state().peak
    states = [replace(loud.state(), peak=25.0), quiet.state()]
    assert alarm_of(states[:1]) is not None
    assert alarm_of(states) is None, "two servers need 40 each"
    found = alarm_of([loud.state(), quiet.state()])
    assert found is not None and (found.version, found.needed, found.evidence) == ("7", 40.0, peak)
    assert found.statistics[0] in PIXELS and found.at.tzinfo is not None
    newer = replace(monitor("8").state(), updated=datetime(2100, 1, 1, tzinfo=UTC).isoformat())
    assert alarm_of([loud.state(), newer]) is None, "the version that alarmed is no longer in use"
    assert alarm_of([]) is None


def at(day: int) -> str:
    return datetime(2026, 11, day, tzinfo=UTC).isoformat()


def test_the_alarm_of_two_servers_has_the_time_at_which_the_evidence_was_enough_for_both() -> None:
    both = replace(monitor().state(), began=at(1), updated=at(20))
    loud = replace(both, peak=45.0, alarm_at=at(5), reached_at=(at(5), at(19)))
    found = alarm_of([loud, both])
    assert found is not None and (found.at.day, found.needed) == (19, 40.0)
    assert alarm_of([replace(loud, peak=25.0, reached_at=(at(5),)), both]) is None


def test_an_alarm_stays_when_its_server_is_replaced_and_ended_servers_need_no_evidence() -> None:
    first = replace(monitor().state(), began=at(1), updated=at(6), peak=25.0, alarm_at=at(5), reached_at=(at(5),))
    second = replace(monitor().state(), began=at(7), updated=at(20))
    for states in ([first], [first, second]):
        found = alarm_of(states)
        assert found is not None and (found.at.day, found.needed) == (5, 20.0)
    late = replace(second, peak=25.0, alarm_at=at(9), reached_at=(at(9),))
    quiet = replace(first, peak=1.0, alarm_at="", reached_at=())
    found = alarm_of([quiet, late])
    assert found is not None and (found.at.day, found.needed) == (9, 20.0)


def test_a_state_of_before_has_one_time_for_all_of_its_evidence(tmp_path: Path) -> None:
    old = replace(monitor().state(), peak=45.0, alarm_at=at(5), updated=at(20), reached_at=(), began="")
    values = {name: value for name, value in asdict(old).items() if name not in ("reached_at", "began")}
    store = MemoryStore(str(tmp_path))
    store.put_bytes("monitor/one.json", json.dumps(values).encode())
    found = current_alarm(store)
    assert found is not None and (found.at.day, found.needed) == (5, 20.0)
    again = monitor()
    assert again.resume(store, "one") and again.state().reached_at == (at(5), at(5))


def test_the_alarm_is_read_from_the_prefix(tmp_path: Path) -> None:
    store, loud = MemoryStore(str(tmp_path)), monitor()
    assert current_alarm(store) is None
    stream(loud, 60, shift=1.5)
    loud.save(store, "one")
    store.put_bytes("monitor/other.txt", b"x")
    found = current_alarm(store)
    assert found is not None and found.images > 0


def test_states_of_servers_that_ended_long_ago_are_deleted(tmp_path: Path) -> None:
    store, retention = MemoryStore(str(tmp_path)), Retention(MemoryStore(str(tmp_path)), 30, 1 << 30)
    for name in ("one", "two"):
        monitor().save(store, name)
    store.put_bytes("monitor/damaged.json", b"{")
    now = datetime.fromisoformat(monitor().state().updated)
    for days, count in ((89, 3), (89.5, 3), (91, 1)):
        retention.apply(now + timedelta(days=days))
        assert len(list(store.list("monitor/"))) == count


def test_the_state_stays_small(tmp_path: Path) -> None:
    store, big = MemoryStore(str(tmp_path)), Monitor(reference(5000), "7", lambda features: float(features[0]))
    assert len(big.reference.table) == MAX_ROWS
    stream(big, 10)
    big.save(store, "one")
    assert len(store.get_bytes("monitor/one.json")) < 100_000
    assert len(big.state().stream.retained) == MAX_ROWS


def test_a_recorder_feeds_the_monitor_of_the_version_that_answered(tmp_path: Path) -> None:
    view = {
        "image_px": 8,
        "resize_px": 8,
        "crop_mode": "center",
        "interpolation": "bilinear",
        "bits": 16,
        "frame": None,
    }
    store, one = MemoryStore(str(tmp_path)), monitor()
    recorder = Recorder(store, "one", Keep(), view=view, monitor=one)
    for version in ("7", "7", "6"):
        recorder.on_answer(photo(1), {"label": "a", "confidence": 0.5, "probabilities": {}}, np.zeros(1), version)
    recorder.close()
    assert recorder.gauges()["raytl_monitor_images"] == 2 and recorder.gauges()["raytl_feedback_seen_total"] == 3
    assert monitor().resume(store, "one")


def card(folder: Path, **files: bytes) -> BundleCard:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    names = [name.replace("__", ".") for name in files]
    return BundleCard(
        format=1, task="classification", kind="classes", model="m", classes=("a", "b"), runtime="onnx", precision="fp32",
        input="crop", graph="g", outputs=("probabilities",), view=View(8, 8, "center", "bilinear"),
        thresholds=Thresholds(unfamiliar=Unfamiliar("reference.npy", 1, 0.5)), origin=Origin("r", "abc", "1", "now"),
        files={name: entry_of(folder / name) for name in names},
    )  # fmt: skip


def test_the_monitor_of_a_bundle_has_its_reference_and_its_distance(tmp_path: Path) -> None:
    np.save(tmp_path / "reference.npy", np.eye(4, dtype=np.float16))
    value = monitor_reference("abc", [0.5], [0.1], np.zeros((1, 5)))
    made = card(tmp_path, monitor__json=json.dumps(value).encode())
    found = open_monitor(tmp_path, made, "7")
    assert found is not None and found.reference.statistics[1] == "distance"
    distance = distance_in(tmp_path, made)
    assert distance is not None and distance(np.array([2.0, 0, 0, 0])) == pytest.approx(0, abs=1e-3)
    assert open_monitor(tmp_path, card(tmp_path), "7") is None, "a bundle without one"
    recorder = Recorder(MemoryStore(str(tmp_path)), "x")
    recorder.on_model(tmp_path, made, "7")
    assert recorder.monitor is not None and recorder.monitor.version == "7"
    recorder.close()


def test_a_damaged_distance_reference_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "reference.npy").write_bytes(b"pickled?")
    with pytest.raises(ModelError, match="export the model again"):
        distance_in(tmp_path, card(tmp_path))


def test_a_reference_without_distance_has_none() -> None:
    value = monitor_reference("abc", [0.5], None, np.zeros((1, 5)))
    assert value["statistics"] == ["confidence", *PIXELS]


@pytest.mark.parametrize("rows", ["", "AAA", "AAAAAAA=", "AADAfw==" * 6])
def test_a_reference_with_other_rows_is_refused(rows: str) -> None:
    value = {**asdict(reference()), "statistics": ["a"] * 6, "rows": rows}
    with pytest.raises(ModelError, match="rows"):
        REFERENCE_FORMAT.typed(value, "x")


def test_a_blurred_view_is_less_sharp() -> None:
    sharp = RNG.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    flat = np.full((32, 32, 3), 128, np.uint8)
    assert view_properties(sharp)["sharpness"] > view_properties(flat)["sharpness"] == 0


def test_the_recorder_imports_neither_torch_nor_ray() -> None:
    code = "import sys, raytl.feedback.recorder; print([m for m in ('torch', 'ray', 'boto3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
