"""Cached clients of S3 follow the environment of the process."""

from __future__ import annotations

import pytest

from raytl.store import s3_client
from raytl.store.s3_settings import ENVIRONMENT


def test_credentials_that_change_in_the_environment_count_at_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("first", "second", "first"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        assert s3_client.cached_client(ENVIRONMENT).signed_with().access_key == key
