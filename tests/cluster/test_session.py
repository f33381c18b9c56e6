"""A session restores the environment of the process."""

from __future__ import annotations

import os

import pytest

from raytl.cluster import session


@pytest.mark.ray
def test_the_token_of_one_cluster_is_not_required_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.ray
@pytest.mark.parametrize("mode", ["disabled", "token", None])
def test_an_embedded_ray_requires_a_new_token_despite_the_settings_for_clusters(
    monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-a-cluster")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    seen = set[str]()
    for _ in range(2):
        with session._authentication("local"):
            assert os.environ["RAY_AUTH_MODE"] == "token"
            seen.add(os.environ["RAY_AUTH_TOKEN"])
        assert (os.environ["RAY_AUTH_TOKEN"], os.environ.get("RAY_AUTH_MODE")) == ("of-a-cluster", mode)
    assert len(seen - {"of-a-cluster"}) == 2
