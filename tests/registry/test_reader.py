"""A version is fetched by its reference, with every byte as published."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.errors import RegistryError, Unavailable
from raytl.registry.reader import fetched
from raytl.registry.reference import Reference, is_reference, reference
from raytl.registry.registry import Registry
from tests.registry.conftest import Publish

WEIGHTS = "checkpoints/best/model.safetensors"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:trash@champion", Reference("s3://bucket/models/trash", "champion")),
        ("models:trash", Reference("s3://bucket/models/trash", "champion")),
        ("models:trash@12", Reference("s3://bucket/models/trash", "12")),
        ("models:s3://other/models/x@previous", Reference("s3://other/models/x", "previous")),
        ("models:./models/trash@3", Reference("./models/trash", "3")),
        ("models:/srv/models/trash/", Reference("/srv/models/trash", "champion")),
    ],
)
def test_a_reference_names_a_registry_and_a_version(
    text: str, expected: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_REGISTRY", "s3://bucket/models/")
    assert is_reference(text)
    assert reference(text) == expected


@pytest.mark.parametrize("text", ["models:", "models:@champion", "models:trash@", "models:trash@a b"])
def test_a_malformed_reference_is_an_error(text: str) -> None:
    with pytest.raises(RegistryError, match="not a reference; expected"):
        reference(text)


def test_a_bare_name_needs_raytl_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYTL_REGISTRY", raising=False)
    with pytest.raises(RegistryError, match="'trash' is a registry's bare name, but RAYTL_REGISTRY is not set"):
        reference("models:trash@champion")


def test_a_version_is_fetched_whole_by_alias_and_by_number(registry: Registry, publish: Publish) -> None:
    publish("one"), publish("two")
    registry.promote(2, registry.state(), "me", "")
    for which, text in (("champion", "two"), ("1", "one")):
        _, record, folder = fetched(f"models:{registry.uri}@{which}")
        assert (folder / WEIGHTS).read_text() == text
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(
            record.files
        )


def test_a_file_that_was_changed_here_is_fetched_again(registry: Registry, publish: Publish) -> None:
    publish("one")
    _, _, folder = fetched(f"models:{registry.uri}@1")
    (folder / WEIGHTS).write_text("another")
    assert (fetched(f"models:{registry.uri}@1")[2] / WEIGHTS).read_text() == "one"


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_a_file_that_was_damaged_there_is_not_taken(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setattr("raytl.store.retry.time.sleep", lambda _: None)
    record = publish("one")
    registry.store.put_bytes(f"files/{record.token}/{WEIGHTS}", b"eno")
    with pytest.raises(Unavailable, match=r"model\.safetensors of version 1 is damaged"):
        fetched(f"models:{registry.uri}@1")
    assert not [path for path in (own_cache / "pulled").iterdir() if path.is_dir()]
