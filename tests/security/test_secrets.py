"""No secret of the environment or of an address is in a run's folder, in a job, in a log or on the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.cli.conftest import Raytl, raytl, tiny  # noqa: F401 - fixtures
from tests.conftest import MakePhotos

MARK = "m4rk3d"
VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "PGPASSWORD", "HF_TOKEN", "ANY_OTHER")


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret of the environment is told by its mark."""
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{MARK}-{name}")


def holding(places: Iterable[Path]) -> list[str]:
    """The files below that hold the mark, in their bytes or their names."""
    files = [Path(folder, name) for place in places for folder, _, names in os.walk(place) for name in names]
    return [str(path) for path in files if MARK in str(path) or MARK.encode() in path.read_bytes()]


def test_the_search_for_marks_finds_one(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.log").write_text(f"password {MARK}")
    assert holding([tmp_path]) == [str(tmp_path / "deep" / "x.log")]


def test_a_run_keeps_no_secret(
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    make_photos: MakePhotos,
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_photos(12)
    command = [
        "raytl",
        "train",
        "tiny.yaml",
        "--set",
        f"model.weights=https://me:{MARK}@host/w.pth?X-Amz-Signature={MARK}",
    ]
    monkeypatch.setattr("sys.argv", command)
    said = [raytl("check", tiny), raytl("train", tiny), raytl("evaluate", "runs/tiny"), raytl("train", tiny, "--json")]
    assert [done.code for done in said] == [0] * 4, said
    assert not [done for done in said if MARK in done.out + done.err]
    assert (tmp_path / "runs/tiny/provenance.json").read_text().count("***") == 2
    assert holding([tmp_path, own_cache]) == []


def test_a_job_holds_no_secret(raytl: Raytl, tiny: Path, tmp_path: Path) -> None:  # noqa: F811
    far = ("--set", "data.uri=s3://b/d", "--set", "storage.uri=s3://b/r", "--raytl", "code")
    for verb in ("train", "tune", "evaluate"):
        for more in ((), ("--json",)):
            done = raytl("submit", verb, tiny, *far, "--dry-run", *more)
            assert done.code == 0, done.err
            assert MARK not in done.out + done.err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("search.storage", f"mysql+pymysql://me:{MARK}@host/db"),
        ("data.uri", f"https://host/x?X-Amz-Signature={MARK}"),
        ("model.weights", f"https://me:{MARK}@host/w.pth"),
        ("storage.uri", f"s3://key:{MARK}@bucket/runs"),
    ],
)
@pytest.mark.parametrize(
    ("verb", "options"),
    [(("check",), ()), (("train",), ()), (("tune",), ("--dry-run",)), (("submit", "train"), ("--dry-run",))],
)
def test_an_address_with_a_secret_is_refused_without_showing_it(
    verb: tuple[str, ...],
    options: tuple[str, ...],
    key: str,
    value: str,
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THE_ADDRESS", value)
    for given in (value, "${THE_ADDRESS}"):
        done = raytl(*verb, tiny, "--set", f"{key}={given}", *options)
        assert done.code == 2, done.out
        assert f"--set {key}: found" in done.err and "***" in done.err
        assert MARK not in done.out + done.err
    assert holding([tmp_path, own_cache]) == []


def test_an_unforeseen_error_hides_the_secrets_of_addresses(
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(f"https://me:{MARK}@host")

    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    monkeypatch.setattr("raytl.training.driver.train", broken)
    done = raytl("train", tiny)
    assert done.code == 1 and "https://me:***@host" in done.err
    assert holding([tmp_path]) == []


def test_the_store_s_errors_hide_the_secrets_of_its_address(
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{MARK}@127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{MARK}-id")
    monkeypatch.setattr("time.sleep", lambda _: None)  # between attempts
    from raytl.store import s3

    s3.forget_client()
    done = raytl("check", tiny, "--set", "data.uri=s3://bucket/x")
    s3.forget_client()
    assert done.code in (1, 2)
    assert MARK not in done.out + done.err
    assert holding([tmp_path]) == []
