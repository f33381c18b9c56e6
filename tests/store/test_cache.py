"""The cache folder, with and without a writable home folder."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from raytl.errors import UserError
from raytl.store import cache
from raytl.store.cache import cache_root, redirect_library_caches

LIBRARIES = ("MPLCONFIGDIR", "HF_HOME", "TORCH_HOME")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, in an environment that sets nothing else."""
    for name in ("RAYTL_CACHE", "XDG_CACHE_HOME", *LIBRARIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cache, "_default", cache._default.__wrapped__)
    return tmp_path


def test_the_environment_selects_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_root() == tmp_path / "home/.cache/raytl"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg/raytl"
    monkeypatch.setenv("RAYTL_CACHE", "~/mine")
    assert cache_root() == tmp_path / "home/mine"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("name", ["RAYTL_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_a_missing_folder_is_created_for_this_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, umask: int
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "new"))
    before = os.umask(umask)
    try:
        for _ in range(2):
            assert stat.S_IMODE(cache_root().stat().st_mode) == 0o700
            cache_root().rmdir()
    finally:
        os.umask(before)


def test_the_folder_of_an_earlier_version_is_restricted_to_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "raytl").mkdir(mode=0o755)
    assert stat.S_IMODE(cache_root().stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o2775])
def test_a_folder_that_the_user_names_keeps_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "shared"))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    assert stat.S_IMODE(cache_root().stat().st_mode) == mode
    assert not caplog.records


@pytest.mark.parametrize(
    ("mode", "euid", "text"),
    [(0o777, 0, "is writable by every user of this machine"), (0o755, 1, "belongs to user {own}")],
)
def test_a_folder_that_another_user_can_change_causes_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: int, euid: int, text: str
) -> None:
    shared, own = tmp_path / "shared", 1000
    shared.mkdir()
    shared.chmod(mode)
    monkeypatch.setenv("RAYTL_CACHE", str(shared))
    monkeypatch.setattr(os, "geteuid", lambda: own + euid)
    real = Path.stat
    owned = os.stat_result((*real(shared)[:4], own, *real(shared)[5:]))
    monkeypatch.setattr(Path, "stat", lambda path, **how: owned if path == shared else real(path, **how))
    assert [cache_root(), cache_root()] == [shared, shared]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"cache: {shared} {text.format(own=own)}, and raytl trusts its content")
    monkeypatch.undo()
    assert stat.S_IMODE(shared.stat().st_mode) == mode


@pytest.mark.parametrize("home", ["/dev/null", "/proc/no such", "a file"])
def test_without_a_writable_home_a_private_temporary_folder_is_used_with_a_warning(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, home: str
) -> None:
    (temporary / "a file").touch()
    monkeypatch.chdir(temporary)
    monkeypatch.setenv("HOME", os.path.abspath(home))  # noqa: PTH100
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).startswith("/proc"))
    place = temporary / f"raytl-cache-{os.geteuid()}"
    assert cache_root() == place
    assert place.stat().st_mode & 0o777 == 0o700
    assert f"using {place}. Set RAYTL_CACHE (or HOME) to a writable folder." in caplog.text


def test_a_user_without_a_home_has_a_cache_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_root() == temporary / f"raytl-cache-{os.geteuid()}"
    assert not (temporary / "~").exists()


@pytest.mark.parametrize("planted", ["link", "open", "file"])
def test_a_folder_that_another_user_may_have_planted_is_rejected(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    place = temporary / f"raytl-cache-{os.geteuid()}"
    if planted == "link":
        place.symlink_to(temporary)
    elif planted == "open":
        place.mkdir()
        place.chmod(0o777)
    else:
        place.touch()
    with pytest.raises(
        UserError, match=r"^cache: /dev/null/\.cache is not writable.* Set RAYTL_CACHE \(or HOME\) to a"
    ):
        cache_root()


def test_library_caches_are_redirected_without_a_home(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(temporary))
    redirect_library_caches()
    assert not any(name in os.environ for name in LIBRARIES)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setenv("HF_HOME", "/data/hf")
    monkeypatch.setenv("TORCH_HOME", "")  # so that monkeypatch restores what redirect_library_caches sets
    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.delenv("MPLCONFIGDIR")
    redirect_library_caches()
    assert os.environ["MPLCONFIGDIR"] == str(cache_root() / "matplotlib")
    assert os.environ["HF_HOME"] == "/data/hf"
