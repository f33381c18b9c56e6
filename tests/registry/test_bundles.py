"""Bundles of versions: added whole, listed, replaced only when asked, and removed with the version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raytl.errors import RegistryError
from raytl.registry.bundles import bundle_uris, put_bundle
from raytl.registry.cleaning import clean, plan_cleanup
from raytl.registry.registry import Registry
from raytl.store.open import open_store
from tests.registry.conftest import Publish, on_a_bucket_too


def bundle(folder: Path, content: str = "graph") -> Path:
    """A folder with the files of a bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_text(content)
    (folder / "model.json").write_text(json.dumps({"graph": "model.onnx"}))
    return folder


@on_a_bucket_too
def test_a_bundle_that_is_added_is_listed_with_its_files(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    record = publish()
    assert bundle_uris(registry, record) == {}
    uri = put_bundle(registry, record, bundle(tmp_path / "b"), "onnx-fp32")
    assert bundle_uris(registry, record) == {"onnx-fp32": uri}
    assert open_store(uri).get_bytes("model.onnx") == b"graph"


def test_a_bundle_is_replaced_only_when_asked(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    record = publish()
    put_bundle(registry, record, bundle(tmp_path / "b"), "onnx-fp32")
    with pytest.raises(RegistryError, match=r"version 1 has a bundle 'onnx-fp32'.*--force"):
        put_bundle(registry, record, bundle(tmp_path / "b", "other"), "onnx-fp32")
    uri = put_bundle(registry, record, bundle(tmp_path / "b", "other"), "onnx-fp32", replace=True)
    assert open_store(uri).get_bytes("model.onnx") == b"other"


def test_an_upload_without_its_card_is_no_bundle(registry: Registry, publish: Publish) -> None:
    record = publish()
    registry.store.put_bytes("bundles/000001/onnx-fp32/model.onnx", b"graph")
    assert bundle_uris(registry, record) == {}


@pytest.mark.parametrize("name", ["", "../2", "a/b", "A", "-a", "a" * 101])
def test_a_name_that_leads_elsewhere_is_refused(
    name: str, tmp_path: Path, publish: Publish, registry: Registry
) -> None:
    with pytest.raises(RegistryError, match="expected up to 100 of a-z"):
        put_bundle(registry, publish(), bundle(tmp_path / "b"), name)


def test_names_in_the_store_that_lead_elsewhere_are_not_listed(registry: Registry, publish: Publish) -> None:
    record = publish()
    for key in ("bundles/000001/model.json", "bundles/000001/a/b/model.json", "bundles/000001/A b/model.json"):
        registry.store.put_bytes(key, b"{}")
    assert bundle_uris(registry, record) == {}


def test_a_removed_version_leaves_no_bundle(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    first, _ = publish("a"), publish("b")
    put_bundle(registry, first, bundle(tmp_path / "b"), "onnx-fp32")
    clean(registry, plan_cleanup(registry, 1, {}))
    assert not list(registry.store.list("bundles/"))
    with pytest.raises(RegistryError, match="no version 1"):
        put_bundle(registry, first, bundle(tmp_path / "b"), "onnx-fp32")
    assert bundle_uris(registry, first) == {}
