"""A driver that receives SIGTERM cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raytl.cluster.sigterm import exiting_on_sigterm
from raytl.cluster.worker_group import run_group
from raytl.config.schema import ComputeConfig
from raytl.events import OnEvent, ignore
from raytl.world import World

BACKGROUND = """
import contextlib, sys, time, types
sys.modules["ray"] = types.ModuleType("ray")  # not needed: the session is a fake one
from raytl.cluster import background

@contextlib.contextmanager
def fake(cluster, prestart):
    try:
        yield
    finally:
        print("session closed")

background.session = fake
with background.session_in_background("local", None):
    background.await_session()
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("lease released")
"""


def test_a_driver_whose_session_started_in_the_background_cleans_up() -> None:
    with subprocess.Popen([sys.executable, "-c", BACKGROUND], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        driver.send_signal(signal.SIGTERM)
        assert driver.stdout.read().splitlines() == ["lease released", "session closed"]
    assert driver.returncode == signal.SIGTERM, "as with the handler of ray.init"


def _terminated(world: World, payload: None, emit: OnEvent) -> None:
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def _default() -> Iterator[None]:
    """The handler of a process that sets none; those of Ray in earlier tests stay."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_default")
def test_a_run_in_this_process_ends_with_an_exit(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run_group(_terminated, None, ComputeConfig(cluster="none", device="cpu"), scratch=tmp_path, on_event=ignore)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_the_caller_stays() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with exiting_on_sigterm():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_leave_it_alone() -> None:
    seen: list[object] = []

    def run() -> None:
        with exiting_on_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
