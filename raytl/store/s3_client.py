"""This process's boto3 clients: one for each `S3Settings`, with the address of each bucket that it listed.

Endpoint, region, profile and credentials come from the standard AWS places (AWS_ENDPOINT_URL, AWS_PROFILE ...), except
where the settings override them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session
import urllib3
from botocore import UNSIGNED
from botocore import exceptions as vendor
from botocore.client import Config
from botocore.httpsession import where

from raytl.gc_pause import gc_paused
from raytl.store.fetch_workers import KEY_CHARACTERS, Route, usable
from raytl.store.s3_body import limit_responses
from raytl.store.s3_direct import connections
from raytl.store.s3_page import read_page
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

CONNECTIONS = 32
MAX_CLIENTS = 8
_MAX_WRONG = 3
_VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
)
_SERVICES = ("s3", "sts", "sso", "sso-oidc", "signin")
"""S3, and those that botocore's credentials come from."""
_clients: dict[tuple[int, S3Settings, int], S3Client] = {}
"""By process, settings and a hash of the environment's `_VARIABLES`, the most recently used last."""
_lock = threading.Lock()


def _replace_lock() -> None:
    """Replace the lock in a forked process, where its holder does not exist."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_replace_lock)


@dataclass(frozen=True, slots=True)
class S3Client:
    """A client, its credentials, the address of each bucket that it listed or read, and the connections of `s3_direct`."""

    client: Any
    credentials: Any
    routes: dict[str, Route]
    requester_pays: bool
    connections: urllib3.PoolManager
    reads: Counter[str] = field(default_factory=Counter)
    """Whole objects that boto3 read from each bucket, since a direct read of it failed."""
    direct: dict[str, Route] = field(default_factory=dict)
    """The addresses of the buckets to read directly: so many objects were read from them that more are likely."""
    without_checksums: set[str] = field(default_factory=set)
    """The buckets whose store is not asked for checksums."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Checksums of each bucket that did not match bytes whose MD5 does."""

    def signed_with(self) -> Any:
        """Return the current credentials; None if there are none."""
        try:
            return self.credentials and self.credentials.get_frozen_credentials()
        except vendor.BotoCoreError:
            return None

    def count_read(self, bucket: str) -> None:
        """Count a whole object that boto3 read."""
        self.reads[bucket] += 1
        route = self.routes.get(bucket)
        if route is not None and usable(route, self.reads[bucket]):
            self.direct[bucket] = route

    def count_failure(self, bucket: str) -> None:
        """Leave the next reads to boto3, after a direct one failed."""
        self.reads[bucket] = 0
        self.direct.pop(bucket, None)

    def count_wrong_checksum(self, bucket: str) -> None:
        """Count a checksum that does not match the bytes, though their MD5 does; after some, ask for no more."""
        self.wrong[bucket] += 1
        if self.wrong[bucket] == _MAX_WRONG:
            self.stop_checksums(bucket, f"{_MAX_WRONG} of its checksums do not match bytes whose MD5 is right")

    def stop_checksums(self, bucket: str, reason: str) -> None:
        """Ask the bucket's store for no more checksums: objects are verified by the MD5 in their ETag, if it is one."""
        if bucket not in self.without_checksums:
            self.without_checksums.add(bucket)
            logging.getLogger("raytl").warning("s3://%s: %s; objects are verified by MD5 alone", bucket, reason)
        if (route := self.routes.get(bucket)) is not None:
            self.routes[bucket] = replace(route, has_checksums=False)

    def note(self, request: Any, region_name: str, signature_version: Any, **_: Any) -> None:
        """Record the address of a listing or a read that is about to be sent, unless it has another kind of signature."""
        parameters, url = request.context.get("input_params", {}), urlsplit(request.url)
        bucket, key = parameters.get("Bucket", ""), quote(parameters.get("Key", ""), safe=KEY_CHARACTERS)
        base = {f"/{bucket}": f"/{bucket}/", "/": "/", "": "/"}.get(url.path.removesuffix(f"/{key}" if key else ""))
        if base is None or signature_version not in ("v4", "s3v4", UNSIGNED):
            self.routes.pop(bucket, None)
            return
        region = None if signature_version is UNSIGNED else region_name
        asks = bucket not in self.without_checksums
        self.routes[bucket] = Route(url.scheme, url.netloc, base, region, self.requester_pays, _cafile(), asks)


def client(s3: S3Settings = ENVIRONMENT) -> Any:
    """Return this process's client for `s3`; a forked process creates its own, because sockets must not be shared."""
    return cached_client(s3).client


def cached_client(s3: S3Settings) -> S3Client:
    """Return `client(s3)` with its credentials and routes."""
    key = (os.getpid(), s3, hash(tuple(map(os.environ.get, _VARIABLES))))
    with _lock:
        with gc_paused():
            cached = _clients.pop(key) if key in _clients else _new_client(s3)
        _clients[key] = cached
        if len(_clients) > MAX_CLIENTS:
            del _clients[next(iter(_clients))]
        return cached


def forget_client() -> None:
    """Drop all clients, so that the next call reads the environment again."""
    _clients.clear()


@contextmanager
def _known_services(session: Any) -> Iterator[None]:
    """Tell botocore which services it has, because listing the files of all takes as long as reading those of S3."""
    loader = session.get_component("data_loader")
    loader.list_available_services = lambda type_name: _SERVICES
    try:
        yield
    finally:
        del loader.list_available_services


def _new_client(s3: S3Settings) -> S3Client:
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 5},
        "max_pool_connections": CONNECTIONS,
        "connect_timeout": s3.connect_timeout_s,
        "read_timeout": s3.read_timeout_s,
        # many S3-compatible stores reject the newer checksums
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if s3.anonymous:
        settings["signature_version"] = UNSIGNED
    session = botocore.session.Session(
        profile=s3.profile
    )  # boto3's adds nothing here, and takes half a second to import
    if s3.region is not None:
        session.set_config_variable("region", s3.region)

    def make_client(style: str) -> Any:
        config = Config(**settings, s3={"addressing_style": style})
        with _known_services(session):
            return session.create_client("s3", endpoint_url=s3.endpoint_url, config=config)

    expected = s3.addressing if s3.addressing != "auto" or _is_amazon(s3.configured_endpoint()) else "path"
    client = make_client(expected)
    # http://bucket.my-minio:9000 does not resolve: stores with one host name need the bucket in the path
    style = s3.addressing if s3.addressing != "auto" or _is_amazon(client.meta.endpoint_url) else "path"
    if style != expected:  # the endpoint is in the AWS profile
        client.close()
        client = make_client(style)
    credentials = None if s3.anonymous else session.get_credentials()
    result = S3Client(client, credentials, {}, s3.request_payer, connections(s3, _cafile(), CONNECTIONS))
    events = client.meta.events
    if s3.request_payer:
        events.register("before-parameter-build.s3", _add_request_payer)
    for request in ("ListObjectsV2", "GetObject"):
        events.register(f"before-sign.s3.{request}", result.note)
    limit_responses(client)
    events.register_first("before-parse.*.*", _read_page)  # before botocore's own handler, which parses the page twice
    return result


def _cafile() -> str:
    """Return the file of the authorities that boto3 trusts."""
    return os.environ.get("AWS_CA_BUNDLE") or str(where())


def _is_amazon(endpoint: str | None) -> bool:
    """Return whether an endpoint is Amazon's, as it is if none is configured."""
    return endpoint is None or "amazonaws.com" in endpoint


def _add_request_payer(params: dict[str, Any], model: Any, **_: Any) -> None:
    if "RequestPayer" in model.input_shape.members:
        params["RequestPayer"] = "requester"


def _read_page(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Read the objects of a listing's page before boto3 does, which takes ten times as long."""
    if operation_model.name != "ListObjectsV2" or response_dict["status_code"] != 200:
        return
    if (page := read_page(response_dict["body"])) is not None:
        customized_response_dict["Objects"], response_dict["body"] = page
