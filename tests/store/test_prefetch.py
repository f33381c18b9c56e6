"""What is expected is there when it is taken, in order and within a bound."""

from __future__ import annotations

import random
import threading

import pytest

from raytl.errors import Unavailable
from raytl.store.prefetch import Prefetcher


class Source:
    """Fetches ten bytes of each number; `gate` lets it."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, key: int) -> bytes:
        self.asked.append(key)
        assert self.gate.wait(10)
        if key < 0:
            raise Unavailable(f"no {key}")
        return bytes([key]) * 10


def settled(ahead: Prefetcher[int]) -> bool:
    """True as soon as nothing is in flight."""
    with ahead._changed:
        return ahead._changed.wait_for(
            lambda: not ahead._flying and (not ahead._coming or ahead._bytes >= ahead._most), 5
        )


def test_what_is_expected_is_fetched_once_in_order_and_before_it_is_asked_for() -> None:
    source = Source()
    ahead = Prefetcher(source, threads=1)
    ahead.expect(range(5))
    assert settled(ahead)
    ahead.expect(range(8))
    assert settled(ahead)
    assert source.asked == list(range(8))
    assert [ahead.take(i) for i in range(8)] == [bytes([i]) * 10 for i in range(8)]
    assert len(source.asked) == 8


def test_no_more_is_begun_than_the_bound_and_taking_goes_on() -> None:
    source = Source()
    ahead = Prefetcher(source, threads=1, most_bytes=30)
    ahead.expect(range(9))
    assert settled(ahead)
    assert source.asked == [0, 1, 2]
    assert ahead.take(0) == bytes(10)
    assert settled(ahead)
    assert source.asked == [0, 1, 2, 3]


def test_another_order_than_expected_is_served_and_does_not_stand_still() -> None:
    source = Source()
    ahead = Prefetcher(source, threads=2, most_bytes=30)
    ahead.expect(range(20))
    assert [ahead.take(i) for i in reversed(range(20))] == [bytes([i]) * 10 for i in reversed(range(20))]


def test_what_was_not_expected_is_fetched_there_and_then() -> None:
    assert Prefetcher(Source()).take(7) == bytes([7]) * 10


def test_who_takes_what_is_on_its_way_waits_for_it() -> None:
    source = Source()
    source.gate.clear()
    ahead = Prefetcher(source, threads=1)
    ahead.expect([1])
    threading.Timer(0.1, source.gate.set).start()
    assert ahead.take(1) == bytes([1]) * 10
    assert source.asked == [1]


def test_a_failure_is_for_who_takes_it_and_the_next_one_tries_again() -> None:
    source = Source()
    ahead = Prefetcher(source, threads=1)
    ahead.expect([-1, 3])
    assert ahead.take(3) == bytes([3]) * 10
    with pytest.raises(Unavailable, match="no -1"):
        ahead.take(-1)
    with pytest.raises(Unavailable, match="no -1"):
        ahead.take(-1)
    assert source.asked.count(-1) == 2


def test_what_is_expected_no_more_makes_room() -> None:
    source = Source()
    ahead = Prefetcher(source, threads=1, most_bytes=30)
    ahead.expect(range(9))
    assert settled(ahead)
    ahead.expect(range(20, 25))
    assert settled(ahead)
    assert source.asked == [0, 1, 2, 20, 21, 22]
    assert ahead._bytes == 30


def test_draws_that_repeat_themselves_are_fetched_once_a_draw() -> None:
    source = Source()
    ahead = Prefetcher(source, threads=4, most_bytes=200)
    draw = random.Random(0)
    draws = [draw.randrange(30) for _ in range(300)]
    for place, key in enumerate(draws):
        ahead.expect(draws[place : place + 25])
        assert ahead.take(key) == bytes([key]) * 10
    assert len(source.asked) <= len(draws)


def test_threads_that_nobody_needs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.store.prefetch._IDLE_S", 0.05)
    ahead = Prefetcher(Source(), threads=3)
    ahead.expect(range(6))
    assert [ahead.take(i) for i in range(6)] == [bytes([i]) * 10 for i in range(6)]
    with ahead._changed:
        ahead._changed.wait_for(lambda: ahead._running == 0, 5)
        assert ahead._running == 0
    ahead.expect([7])
    assert ahead.take(7) == bytes([7]) * 10
