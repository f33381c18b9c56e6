"""The cache folder, also where there is no home folder to write to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from raytl.errors import UserError
from raytl.store import cache
from raytl.store.cache import cache_root, lend_home

LIBRARIES = ("MPLCONFIGDIR", "HF_HOME", "TORCH_HOME")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, in an environment that sets nothing else."""
    for name in ("RAYTL_CACHE", "XDG_CACHE_HOME", *LIBRARIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cache, "_default", cache._default.__wrapped__)
    return tmp_path


def test_it_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_root() == tmp_path / "home/.cache/raytl"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg/raytl"
    monkeypatch.setenv("RAYTL_CACHE", "~/mine")
    assert cache_root() == tmp_path / "home/mine"
    assert not list(tmp_path.iterdir()), "it need not exist"


@pytest.mark.parametrize("home", ["/dev/null", "/proc/no such", "a file"])
def test_where_no_home_can_be_written_it_is_a_folder_of_this_user_alone_and_is_said_to_be(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, home: str
) -> None:
    (temporary / "a file").touch()
    monkeypatch.chdir(temporary)
    monkeypatch.setenv("HOME", os.path.abspath(home))  # noqa: PTH100
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).startswith("/proc"))
    place = temporary / f"raytl-cache-{os.geteuid()}"
    assert cache_root() == place
    assert place.stat().st_mode & 0o777 == 0o700
    assert f"using {place}. Set RAYTL_CACHE (or HOME) to a folder that can be written." in caplog.text


def test_a_user_without_a_home_has_one_too(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_root() == temporary / f"raytl-cache-{os.geteuid()}"
    assert not (temporary / "~").exists()


@pytest.mark.parametrize("planted", ["link", "open", "file"])
def test_what_somebody_else_may_have_put_there_is_refused(
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
        UserError, match=r"^cache: /dev/null/\.cache cannot be written.* Set RAYTL_CACHE \(or HOME\) to a"
    ):
        cache_root()


def test_libraries_keep_their_files_there_where_there_is_no_home(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(temporary))
    lend_home()
    assert not any(name in os.environ for name in LIBRARIES)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setenv("HF_HOME", "/data/hf")
    monkeypatch.setenv("TORCH_HOME", "")  # so that monkeypatch puts back what lend_home sets
    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.delenv("MPLCONFIGDIR")
    lend_home()
    assert os.environ["MPLCONFIGDIR"] == str(cache_root() / "matplotlib")
    assert os.environ["HF_HOME"] == "/data/hf"
