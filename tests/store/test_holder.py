"""The strict reading of a lease object, and the check that its process is alive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raytl.store import holder as holder_module
from raytl.store.holder import MAX_BYTES, Holder, decoded, is_alive, this_process

HOLDER = Holder(3, "token", "host", 12, "boot", 99, 7, "2026-11-28T13:57:00+00:00")
OLD = {"generation": 3, "token": "token", "host": "host", "pid": 12, "boot": "boot", "until": 1.8e9}


def test_a_written_lease_is_read_back() -> None:
    assert decoded(HOLDER.encoded()) == HOLDER
    assert decoded(replace(HOLDER, given_back=True).encoded()) == replace(HOLDER, given_back=True)


@pytest.mark.parametrize(("until", "given_back"), [(1.8e9, False), (0.0, True), (0, True), ("soon", False)])
def test_a_lease_of_raytl_0_1_0_is_read_as_a_holder_whose_end_decides_nothing(until: Any, given_back: bool) -> None:
    holder = decoded(json.dumps({**OLD, "until": until}).encode())
    assert holder == Holder(3, "token", "host", 12, "boot", 0, 0, "", given_back)


@pytest.mark.parametrize(
    "changed",
    [
        {"generation": -1}, {"generation": 1.5}, {"generation": True}, {"generation": 10**30}, {"generation": "3"},
        {"pid": 0}, {"pid": -1}, {"pid": 2**40}, {"started": -1}, {"heartbeat": None}, {"token": 5}, {"host": "x" * 600},
        {"host": "\x1b[2J"}, {"boot": ["a"]}, {"renewed": {}}, {"given_back": 1}, {"given_back": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_out_of_its_bounds_makes_it_no_lease(changed: dict[str, Any]) -> None:
    values = {**json.loads(HOLDER.encoded()), **changed}
    assert decoded(json.dumps(values).encode()) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"what?",
        b"null",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"[" * 10_000,
        b"{}",
        b'{"until": 0}',
        b" " * MAX_BYTES + b"{}",
    ],
    ids=lambda content: str(content[:12]),
)
def test_other_bytes_are_no_lease(content: bytes) -> None:
    assert decoded(content) is None


def test_a_key_of_a_later_version_is_ignored() -> None:
    assert decoded(json.dumps({**json.loads(HOLDER.encoded()), "colour": "red"}).encode()) == HOLDER


@pytest.mark.parametrize(
    ("renewed", "text"),
    [
        ("2026-11-28T13:57:00+00:00", "on 2026-11-28 at 13:57:00 UTC"),
        ("2026-11-28T13:57:00+02:00", "on 2026-11-28 at 11:57:00 UTC"),
        ("0001-01-01T00:00:00+14:00", "at an unknown time"),
        ("yesterday", "at an unknown time"),
        ("", "at an unknown time"),
    ],
)
def test_the_last_renewal_is_shown_with_its_date_and_zone(renewed: str, text: str) -> None:
    assert replace(HOLDER, renewed=renewed).last_renewal == text


def test_this_process_is_alive_and_an_ended_one_is_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    there = replace(this_process(), pid=child.pid, started=holder_module._status(child.pid)[1])
    assert is_alive(this_process()) is True
    assert is_alive(there) is True
    assert is_alive(replace(there, started=there.started + 1)) is False, "the pid was reused"
    child.kill()
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(there) is False, "a zombie is not alive"
    child.wait()
    assert is_alive(there) is False


def test_a_process_of_another_user_is_alive_although_it_cannot_be_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert is_alive(replace(this_process(), pid=2**22 + 1)) is True


def test_the_state_of_a_process_on_another_machine_or_an_unknown_system_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_alive(replace(this_process(), boot="another")) is None
    monkeypatch.setattr(holder_module, "Path", lambda _: Path("/nowhere"))
    assert this_process().boot == ""
    assert is_alive(this_process()) is None
