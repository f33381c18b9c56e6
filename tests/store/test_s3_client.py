"""Cached clients of S3 follow the environment of the process."""

from __future__ import annotations

import botocore.session
import pytest

from raytl.store import s3_client
from raytl.store.s3_settings import ENVIRONMENT


def test_credentials_that_change_in_the_environment_count_at_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("first", "second", "first"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        assert s3_client.cached_client(ENVIRONMENT).signed_with().access_key == key


def test_only_while_a_client_is_made_does_botocore_know_few_services() -> None:
    session = botocore.session.Session()
    with s3_client._known_services(session):
        assert "ec2" not in session.get_available_services()
    assert {*s3_client._SERVICES, "ec2"} <= set(session.get_available_services())
