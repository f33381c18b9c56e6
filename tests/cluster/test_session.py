"""A session leaves the process as it found it."""

from __future__ import annotations

import os

import pytest

from raytl.cluster import session


@pytest.mark.ray
def test_the_token_of_one_cluster_is_not_asked_for_by_the_next_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with monkeypatch.context() as there:
        there.setenv("RAY_AUTH_TOKEN", "a-token-of-another-cluster")
        with session._authentication("head:6379"):
            assert os.environ["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_MODE" not in os.environ
    with session.session("local"):
        assert ray.is_initialized()
    assert not ray.is_initialized()
