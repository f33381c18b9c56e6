"""Clients of S3 belong to a process: a forked one makes its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raytl.store import s3_client
from raytl.store.s3_settings import ENVIRONMENT

FORKED_WHILE_A_CLIENT_IS_MADE = """
import os
from raytl.store import s3_client
with s3_client._making:
    child = os.fork()
    if child == 0:
        os._exit(0 if s3_client._making.acquire(timeout=5) else 3)
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_that_is_forked_while_a_thread_makes_a_client_does_not_wait_for_that_thread() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED_WHILE_A_CLIENT_IS_MADE], timeout=120, check=False)
    assert done.returncode == 0


def test_credentials_that_change_in_the_environment_count_at_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("first", "second", "first"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        assert s3_client.known_client(ENVIRONMENT).signed_with().access_key == key
