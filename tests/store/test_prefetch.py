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


def settled(prefetcher: Prefetcher[int]) -> bool:
    """True as soon as nothing is in flight."""
    with prefetcher._changed:
        return prefetcher._changed.wait_for(
            lambda: (
                not prefetcher._in_flight and (not prefetcher._expected or prefetcher._bytes >= prefetcher._max_bytes)
            ),
            5,
        )


def test_what_is_expected_is_fetched_once_in_order_and_before_it_is_asked_for() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1)
    prefetcher.expect(range(5))
    assert settled(prefetcher)
    prefetcher.expect(range(8))
    assert settled(prefetcher)
    assert source.asked == list(range(8))
    assert [prefetcher.take(i) for i in range(8)] == [bytes([i]) * 10 for i in range(8)]
    assert len(source.asked) == 8


def test_no_more_is_begun_than_the_bound_and_taking_goes_on() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1, max_bytes=30)
    prefetcher.expect(range(9))
    assert settled(prefetcher)
    assert source.asked == [0, 1, 2]
    assert prefetcher.take(0) == bytes(10)
    assert settled(prefetcher)
    assert source.asked == [0, 1, 2, 3]


def test_another_order_than_expected_is_served_and_does_not_stand_still() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=2, max_bytes=30)
    prefetcher.expect(range(20))
    assert [prefetcher.take(i) for i in reversed(range(20))] == [bytes([i]) * 10 for i in reversed(range(20))]


def test_what_was_not_expected_is_fetched_there_and_then() -> None:
    assert Prefetcher(Source()).take(7) == bytes([7]) * 10


def test_who_takes_what_is_on_its_way_waits_for_it() -> None:
    source = Source()
    source.gate.clear()
    prefetcher = Prefetcher(source, threads=1)
    prefetcher.expect([1])
    threading.Timer(0.1, source.gate.set).start()
    assert prefetcher.take(1) == bytes([1]) * 10
    assert source.asked == [1]


def test_a_failure_is_for_who_takes_it_and_the_next_one_tries_again() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1)
    prefetcher.expect([-1, 3])
    assert prefetcher.take(3) == bytes([3]) * 10
    with pytest.raises(Unavailable, match="no -1"):
        prefetcher.take(-1)
    with pytest.raises(Unavailable, match="no -1"):
        prefetcher.take(-1)
    assert source.asked.count(-1) == 2


def test_what_is_expected_no_more_makes_room() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1, max_bytes=30)
    prefetcher.expect(range(9))
    assert settled(prefetcher)
    prefetcher.expect(range(20, 25))
    assert settled(prefetcher)
    assert source.asked == [0, 1, 2, 20, 21, 22]
    assert prefetcher._bytes == 30


def test_draws_that_repeat_themselves_are_fetched_once_a_draw() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=4, max_bytes=200)
    draw = random.Random(0)
    draws = [draw.randrange(30) for _ in range(300)]
    for place, key in enumerate(draws):
        prefetcher.expect(draws[place : place + 25])
        assert prefetcher.take(key) == bytes([key]) * 10
    assert len(source.asked) <= len(draws)


def test_threads_that_nobody_needs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.store.prefetch._IDLE_S", 0.05)
    prefetcher = Prefetcher(Source(), threads=3)
    prefetcher.expect(range(6))
    assert [prefetcher.take(i) for i in range(6)] == [bytes([i]) * 10 for i in range(6)]
    with prefetcher._changed:
        prefetcher._changed.wait_for(lambda: prefetcher._running == 0, 5)
        assert prefetcher._running == 0
    prefetcher.expect([7])
    assert prefetcher.take(7) == bytes([7]) * 10
