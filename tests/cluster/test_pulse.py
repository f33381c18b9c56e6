"""What a worker notes of itself, and what it does when it is cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from raytl.cluster import pulse
from raytl.cluster.pulse import _now, _pulse
from raytl.world import World


@pytest.fixture(autouse=True)
def nobody_watches() -> Iterator[None]:
    _pulse.begin()
    _pulse.heard = None
    yield
    _pulse.begin()
    _pulse.heard = None


def test_a_beat_says_what_is_done_for_how_long_and_where_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse.doing("all_reduce of the loss", waits=True)
    heartbeat = _now(World(1, 2, 1), "10.0.0.2", "n", threading.get_ident())
    assert (heartbeat.rank, heartbeat.host, heartbeat.doing, heartbeat.waits, heartbeat.line) == (
        1,
        "10.0.0.2",
        "all_reduce of the loss",
        True,
        "",
    )
    _pulse.since -= 60
    late = _now(World(1, 2, 1), "10.0.0.2", "n", threading.get_ident())
    assert late.still_s > 59
    assert "pulse.py" in late.line
    pulse.got_on()
    assert _now(World(1, 2, 1), "10.0.0.2", "n", threading.get_ident()).still_s < 1


def test_where_nobody_watches_nothing_is_waited_for() -> None:
    pulse.wait_for_touch()
    assert not pulse.pause_asked()


def test_a_worker_that_is_cut_off_writes_nothing_until_it_is_heard_again() -> None:
    _pulse.heard = time.monotonic() - 60
    wrote = threading.Event()

    def write() -> None:
        pulse.wait_for_touch()
        wrote.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert not wrote.wait(0.5), "another worker may have taken its place"
    _pulse.heard = time.monotonic()
    assert wrote.wait(5)
    writer.join()
