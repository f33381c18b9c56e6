"""S3 settings are a value: hashable, picklable, without secrets, and the same keys as the `storage` section."""

from __future__ import annotations

import pickle
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from raytl.config.schema import StorageConfig
from raytl.run.folder import working_copy
from raytl.store.lease import WriteToken
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

ELSEWHERE = S3Settings(endpoint_url="http://other:1", profile="photos")


def test_they_are_the_storage_section_without_its_uri() -> None:
    section = StorageConfig(endpoint_url="http://other:1", profile="photos")
    assert S3Settings.of(section) == ELSEWHERE
    assert S3Settings.of(StorageConfig()) == ENVIRONMENT
    assert {field.name for field in fields(S3Settings)} == StorageConfig.model_fields.keys() - {"uri"}


def test_a_pickled_store_keeps_its_settings() -> None:
    store = open_store("s3://b/p", ELSEWHERE)
    assert pickle.loads(pickle.dumps(store)) == store != open_store("s3://b/p")


def test_buckets_of_one_name_at_two_endpoints_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert working_copy("s3://b/runs/a", ELSEWHERE) != working_copy("s3://b/runs/a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://other:1")
    assert working_copy("s3://b/runs/a", ELSEWHERE) == working_copy("s3://b/runs/a")
    assert working_copy("/runs/a", ELSEWHERE) == Path("/runs/a")


def test_a_write_token_contains_no_s3_settings() -> None:
    assert asdict(WriteToken("s3://b/p", "t", 1)) == {"uri": "s3://b/p", "token": "t", "generation": 1}
