"""Containers often have no home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.load import load_experiment
from raytl.errors import UserError
from raytl.home import expanded, ray_token_file


def homeless(*_: object) -> Path:
    """What pathlib does for a user without HOME and without a passwd entry."""
    raise RuntimeError("Could not determine home directory.")


def test_the_home_folder_takes_the_place_of_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    assert expanded("~/photos") == Path("/home/ana/photos")
    assert expanded("photos~") == Path("photos~")
    assert ray_token_file() == Path("/home/ana/.ray/auth_token")


def test_without_a_home_folder_a_tilde_is_an_error_that_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "expanduser", homeless)
    monkeypatch.setattr(Path, "home", homeless)
    assert ray_token_file() is None
    file = tmp_path / "a.yaml"
    file.write_text("name: a\ndata: {uri: ~/photos}\nmodel: {name: test_resnet}\n")
    with pytest.raises(
        UserError, match=r"^~/photos: the home folder of this user is unknown; expected HOME to be set\."
    ):
        load_experiment(file)
