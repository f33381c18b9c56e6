"""Every kind of store over one suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.store.contract import ObjectStore
from raytl.store.open import open_store


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    if request.param == "memory":
        return open_store(f"memory://{tmp_path}")
    return open_store(f"s3://{request.getfixturevalue('bucket')}/some prefix")
