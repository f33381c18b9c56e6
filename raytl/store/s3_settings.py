"""The settings for reaching buckets, as a value that each store holds: picklable, sent to workers, and without secrets."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from raytl.uris import in_bucket

if TYPE_CHECKING:
    from raytl.config.schema import StorageConfig

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """The keys of the `storage` section, except `storage.uri`. None leaves a setting to the environment and the AWS profile."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    anonymous: bool = False
    request_payer: bool = False
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0

    @classmethod
    def of(cls, storage: StorageConfig) -> S3Settings:
        """Return the settings in a `storage` section."""
        return cls(**{field.name: getattr(storage, field.name) for field in fields(cls)})

    def configured_endpoint(self) -> str | None:
        """Return the endpoint of these settings or of the environment; None leaves it to the AWS profile."""
        return self.endpoint_url or next(filter(None, map(os.environ.get, _ENDPOINTS)), None)

    def cache_name(self, uri: str) -> str:
        """Return the name of `uri` in the node's cache: buckets of the same name at two endpoints are two buckets."""
        endpoint = self.configured_endpoint()
        return f"{uri} {endpoint}" if endpoint and in_bucket(uri) else uri


ENVIRONMENT = S3Settings()
"""Settings from the environment and the AWS profile alone."""
