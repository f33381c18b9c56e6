"""The cache of buckets and archives on a node is bounded, and places in use stay."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.store import pins
from raytl.store.pins import evict, make_room, pin, release


@pytest.fixture
def places(own_cache: Path) -> list[Path]:
    """Three places of 1,000 bytes each, used one after another by processes that have ended."""
    places = []
    for number, kind in enumerate(("pulled", "unpacked", "pulled")):
        place = own_cache / kind / f"place-{number}"
        place.mkdir(parents=True)
        (place / "file").write_bytes(b"x" * 1000)
        used = place.with_name(f"{place.name}.used")
        used.touch()
        os.utime(used, (1000 + number, 1000 + number))
        places.append(place)
    return places


def test_the_least_recently_used_places_are_evicted_until_the_others_fit(places: list[Path]) -> None:
    assert evict(3000) == []
    assert evict(2500) == places[:1]
    assert evict(0) == places[1:]
    assert not any(place.exists() for place in places)


def test_places_leave_the_disk_only_for_data_that_would_not_fit(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5000))
    assert make_room(5000) == []
    assert make_room(8001) == []  # nothing would help
    assert make_room(6500) == places[:2]
    assert not places[0].exists() and places[2].exists()


def test_flat_files_of_samples_of_earlier_versions_count_and_are_evicted_first(
    places: list[Path], own_cache: Path
) -> None:
    flat = own_cache / "samples" / "0badcafe.arrow"
    flat.parent.mkdir()
    flat.write_bytes(b"x" * 1000)
    assert evict(4000) == []
    assert evict(3000) == [flat]
    assert list(flat.parent.iterdir()) == []
    assert all(place.exists() for place in places)


def test_pinned_places_stay(places: list[Path]) -> None:
    pin(places[0])
    script = "import sys; from pathlib import Path; from raytl.store.pins import pin; pin(Path(sys.argv[1])); "
    script += "print('mine', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(places[1])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        assert evict(0) == [places[2]]
        other.kill()
    assert evict(0) == [places[1]]
    os.close(pins._pins.pop(places[0]))
    assert evict(0) == [places[0]]


def test_a_place_that_is_released_is_removed_unless_another_process_has_it(places: list[Path]) -> None:
    first, second, third = places
    with second.with_name(f"{second.name}.used").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as another process does, for which the kernel makes no difference
        for place in (first, second):
            pin(place)
            release(place)
        release(third)  # never pinned here
        assert [place.exists() for place in places] == [False, True, True]
    assert sorted(evict(0)) == sorted([second, third])


def test_a_pin_makes_a_place_the_most_recently_used(places: list[Path]) -> None:
    pin(places[0])
    os.close(pins._pins.pop(places[0]))
    assert evict(1000) == [places[1], places[2]]


def test_places_of_dead_processes_are_swept_out(own_cache: Path) -> None:
    ours, theirs = own_cache / "trials" / "ours", own_cache / "trials" / "theirs"
    for place in (ours, theirs):
        place.mkdir(parents=True)
    pin(ours)
    pins.sweep_out("trials")
    assert ours.is_dir() and not theirs.exists()
    pins.unpin(ours)
    assert [path.name for path in (own_cache / "trials").iterdir()] == []


def test_a_process_that_waits_to_pin_a_removed_place_pins_it_anew(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, waits, real_drafted, real_flock = own_cache / "trials" / "ours", Event(), pins.drafted, fcntl.flock
    place.mkdir(parents=True)

    def flock(file: int, mode: int) -> None:
        if mode == fcntl.LOCK_SH:
            waits.set()
        real_flock(file, mode)

    with ThreadPoolExecutor(1) as pool:
        pinned = []

        @contextmanager
        def drafted(final: Path, folder: bool) -> Iterator[Path]:
            pinned.append(pool.submit(pin, final))
            assert waits.wait(10)
            with real_drafted(final, folder) as draft:
                yield draft

        monkeypatch.setattr(pins, "drafted", drafted)
        monkeypatch.setattr(fcntl, "flock", flock)
        pins.sweep_out("trials")
        pinned[0].result(10)
    monkeypatch.setattr(pins, "drafted", real_drafted)
    assert not place.exists()
    place.mkdir()
    pins.sweep_out("trials")
    assert place.is_dir()


def test_a_place_that_was_removed_and_used_again_is_not_removed_by_its_former_file(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_flock = fcntl.flock

    def flock(file: Any, mode: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real_flock)
        assert evict(2500) == [places[0]]  # another process is faster
        places[0].mkdir()
        pin(places[0])
        real_flock(file, mode)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not pins._remove_unpinned(places[0])
    assert places[0].is_dir()


def test_the_first_pin_of_a_process_sweeps_the_drafts_of_killed_ones(own_cache: Path) -> None:
    (own_cache / "unpacked" / ".archive.0badcafe.tmp").mkdir(parents=True)
    pin(own_cache / "unpacked" / "archive")
    assert [path.name for path in (own_cache / "unpacked").iterdir()] == ["archive.used"]
