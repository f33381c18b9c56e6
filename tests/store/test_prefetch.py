"""Expected values are prefetched in order and within a limit."""

from __future__ import annotations

import random
import threading

import pytest

from raytl.errors import Unavailable
from raytl.store.prefetch import Prefetcher


class Source:
    """Fetches ten bytes of each number while `gate` is open."""

    def __init__(self) -> None:
        self.requested: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, key: int) -> bytes:
        self.requested.append(key)
        assert self.gate.wait(10)
        if key < 0:
            raise Unavailable(f"no {key}")
        return bytes([key]) * 10


def idle(prefetcher: Prefetcher[int]) -> bool:
    """Wait until nothing is in flight; return False after 5 s."""
    with prefetcher._changed:
        return prefetcher._changed.wait_for(
            lambda: (
                not prefetcher._in_flight and (not prefetcher._expected or prefetcher._bytes >= prefetcher._max_bytes)
            ),
            5,
        )


def test_expected_keys_are_fetched_once_in_order_and_before_they_are_taken() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1)
    prefetcher.expect(range(5))
    assert idle(prefetcher)
    prefetcher.expect(range(8))
    assert idle(prefetcher)
    assert source.requested == list(range(8))
    assert [prefetcher.take(i) for i in range(8)] == [bytes([i]) * 10 for i in range(8)]
    assert len(source.requested) == 8


def test_nothing_is_fetched_beyond_the_limit_until_a_value_is_taken() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1, max_bytes=30)
    prefetcher.expect(range(9))
    assert idle(prefetcher)
    assert source.requested == [0, 1, 2]
    assert prefetcher.take(0) == bytes(10)
    assert idle(prefetcher)
    assert source.requested == [0, 1, 2, 3]


def test_values_can_be_taken_in_another_order_than_expected() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=2, max_bytes=30)
    prefetcher.expect(range(20))
    assert [prefetcher.take(i) for i in reversed(range(20))] == [bytes([i]) * 10 for i in reversed(range(20))]


def test_an_unexpected_key_is_fetched_at_once() -> None:
    assert Prefetcher(Source()).take(7) == bytes([7]) * 10


def test_taking_a_key_in_flight_waits_for_it() -> None:
    source = Source()
    source.gate.clear()
    prefetcher = Prefetcher(source, threads=1)
    prefetcher.expect([1])
    threading.Timer(0.1, source.gate.set).start()
    assert prefetcher.take(1) == bytes([1]) * 10
    assert source.requested == [1]


def test_a_failure_is_raised_by_its_take_and_the_next_take_retries() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1)
    prefetcher.expect([-1, 3])
    assert prefetcher.take(3) == bytes([3]) * 10
    with pytest.raises(Unavailable, match="no -1"):
        prefetcher.take(-1)
    with pytest.raises(Unavailable, match="no -1"):
        prefetcher.take(-1)
    assert source.requested.count(-1) == 2


def test_values_no_longer_expected_free_their_space() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=1, max_bytes=30)
    prefetcher.expect(range(9))
    assert idle(prefetcher)
    prefetcher.expect(range(20, 25))
    assert idle(prefetcher)
    assert source.requested == [0, 1, 2, 20, 21, 22]
    assert prefetcher._bytes == 30


def test_repeated_keys_are_fetched_at_most_once_per_take() -> None:
    source = Source()
    prefetcher = Prefetcher(source, threads=4, max_bytes=200)
    draw = random.Random(0)
    draws = [draw.randrange(30) for _ in range(300)]
    for place, key in enumerate(draws):
        prefetcher.expect(draws[place : place + 25])
        assert prefetcher.take(key) == bytes([key]) * 10
    assert len(source.requested) <= len(draws)


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.store.prefetch._IDLE_S", 0.05)
    prefetcher = Prefetcher(Source(), threads=3)
    prefetcher.expect(range(6))
    assert [prefetcher.take(i) for i in range(6)] == [bytes([i]) * 10 for i in range(6)]
    with prefetcher._changed:
        prefetcher._changed.wait_for(lambda: prefetcher._running == 0, 5)
        assert prefetcher._running == 0
    prefetcher.expect([7])
    assert prefetcher.take(7) == bytes([7]) * 10
