"""A session that starts while its process does something else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from raytl.cluster import background
from raytl.cluster.background import await_session, session_in_background
from raytl.cluster.session import Prestart, session
from raytl.errors import Unavailable

ONE = Prestart(1)


def test_the_session_opens_and_closes_in_one_thread_that_lives_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, threading.Thread]] = []

    @contextlib.contextmanager
    def fake(cluster: str, prestart: Prestart) -> Iterator[None]:
        seen.append((f"opened {cluster}", threading.current_thread()))
        yield
        seen.append(("closed", threading.current_thread()))

    monkeypatch.setattr(background, "session", fake)
    with session_in_background("local", ONE):
        await_session()
        assert [what for what, _ in seen] == ["opened local"]
        assert seen[0][1].is_alive(), "the kernel ends Ray's processes with the thread that started them"
        assert seen[0][1] is not threading.current_thread()
    assert [what for what, _ in seen] == ["opened local", "closed"]
    assert seen[0][1] is seen[1][1]
    assert not seen[0][1].is_alive()


def test_a_session_that_fails_is_left_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def broken(cluster: str, prestart: Prestart) -> Iterator[None]:
        raise Unavailable("no Ray")
        yield

    monkeypatch.setattr(background, "session", broken)
    with session_in_background("local", ONE):
        await_session()


def test_without_one_there_is_nothing_to_wait_for() -> None:
    await_session()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.thorough
def test_actors_get_processes_that_have_imported_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    class Actor:
        def loaded(self) -> tuple[bool, str | None]:
            import os
            import sys

            return "wave" in sys.modules, os.environ.get("OMP_NUM_THREADS")

    with session_in_background("local", Prestart(1, ("no.such.module", "wave"), threads=3)):
        await_session()
        with session("local"):
            actor = ray.remote(num_cpus=1)(Actor).remote()
            assert ray.get(actor.loaded.remote()) == (True, "3")
    assert not ray.is_initialized()
