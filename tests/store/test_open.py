"""URIs and the stores they name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raytl.errors import StoreError
from raytl.store.cache import cache_root
from raytl.store.local import LocalStore
from raytl.store.open import open_store
from raytl.store.s3 import S3Store


def test_uris_name_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("runs/") == LocalStore(tmp_path / "runs")
    assert open_store(f"file://{tmp_path}/x") == LocalStore(tmp_path / "x")
    assert open_store("s3://b/some/prefix/") == S3Store("b", "some/prefix")
    assert open_store("s3://b").uri == "s3://b"


@pytest.mark.parametrize("uri", ["gs://b/x", "s3://", "s3:///x"])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(StoreError, match="names no store; expected s3://bucket/prefix"):
        open_store(uri)


def test_the_environment_selects_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "c"))
    assert cache_root() == tmp_path / "c"
    monkeypatch.delenv("RAYTL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "raytl"


def test_boto3_is_loaded_only_for_buckets() -> None:
    code = "import sys, raytl.store.sync, raytl.data.formats; raytl.store.sync.open_store('x'); print('botocore' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
