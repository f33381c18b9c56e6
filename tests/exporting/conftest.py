"""A finished run to export and to compress."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.training.driver import train
from tests.cli.conftest import raytl
from tests.conftest import write_photos
from tests.training.conftest import toy

__all__ = ["raytl", "trained"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three classes on 32 px, which no test changes; its photos are in `photos` beside it."""
    folder = tmp_path_factory.mktemp("compressed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTL_CACHE", str(folder / "cache"))
        return Path(train(toy(write_photos(folder / "photos", 16), folder / "runs", {"train.epochs": 2})).run)
