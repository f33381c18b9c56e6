"""A session restores the environment of the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ray.exceptions import AuthenticationError

from raytl.cluster import session
from raytl.errors import Denied, DiskError, RaytlError, Unavailable


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


@pytest.mark.parametrize(("own", "expected"), [(None, "2"), ("7", "7")])
def test_the_raylet_starts_as_many_processes_as_the_session_needs(
    own: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private import services

    started: list[tuple[list[str], dict[str, str] | None]] = []
    monkeypatch.setattr(
        services, "start_ray_process", lambda command, kind, env_updates: started.append((command, env_updates))
    )
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    command = ["raylet", "--num_prestart_python_workers=64", "--head"]
    with session._prestarting(session.Prestart(3, threads=2)):
        services.start_ray_process(command, "raylet", env_updates=None)
    with session._prestarting(session.Prestart(1)):
        services.start_ray_process(command, "raylet", env_updates={"A": "b"})
    assert started == [
        (["raylet", "--num_prestart_python_workers=3", "--head"], {"OMP_NUM_THREADS": expected}),
        (["raylet", "--num_prestart_python_workers=1", "--head"], {"A": "b"}),
    ]


@pytest.mark.parametrize(
    ("cluster", "error", "refusal", "text"),
    [
        (
            "head:6379",
            AuthenticationError("no such token"),
            Denied,
            r"'head:6379' refuses this token .*\n  Set RAY_AUTH_TOKEN",
        ),
        ("head:6379", ConnectionError("no answer"), Unavailable, r"no Ray cluster at 'head:6379' \(no answer\)"),
        ("embedded", Exception("timed out during startup"), Unavailable, r"no Ray could be started .*\n.*less busy"),
        ("embedded", OSError(28, "No space left on device"), DiskError, "expected enough space"),
    ],
)
def test_a_ray_that_does_not_start_or_refuses_the_token_is_an_error_with_advice(
    cluster: str, error: Exception, refusal: type[RaytlError], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr("ray.init", init)
    session.prepare_environment(cluster)
    with pytest.raises(refusal, match=text):
        session._start(cluster, Path("unused") if cluster == "embedded" else None, ())
