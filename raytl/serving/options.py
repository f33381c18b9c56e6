"""The options of a server as a value: what is served, where, and within which limits."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raytl.cpus import usable_cpus
from raytl.errors import UserError
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import S3

if TYPE_CHECKING:
    from raytl.feedback.opening import FeedbackOptions

TOKEN_ENV = "RAYTL_SERVE_TOKEN"  # noqa: S105 - the name of a variable
MIN_TOKEN = 16
MAX_PIXELS = 64_000_000
_MEMORY_BYTES = 256 << 20
_REPLICAS = re.compile(r"([0-9]{1,4})(?::([0-9]{1,4}))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server.

    A request has `max_bytes` at most, that arrive within `body_s`, and `photos` at most; `queue` photos wait beside those that are
    computed; all bodies together take `memory_bytes`. A connection that sends no complete head within `head_s` is closed, and
    there are `connections` at most. After SIGTERM, requests have `drain_s` to finish.
    """

    max_bytes: int = 32 << 20
    max_pixels: int = MAX_PIXELS
    queue: int = 64
    photos: int = 32
    body_s: float = 30.0
    head_s: float = 15.0
    connections: int = 512
    memory_bytes: int = _MEMORY_BYTES
    drain_s: float = 30.0

    @classmethod
    def of(cls, max_bytes: int, max_pixels: int, queue: int) -> Limits:
        """Return the limits that options choose, with memory for the largest body."""
        return cls(max_bytes, max_pixels, queue, memory_bytes=max(_MEMORY_BYTES, max_bytes))


@dataclass(frozen=True, slots=True)
class Replicas:
    """Replicas on Ray: at least `min_replicas`, up to `max_replicas` under load, on the cluster at `cluster` (embedded = a Ray of its own).

    Replicas read the token from the variable `token_env` of their own machine.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    cluster: str = "embedded"
    token_env: str | None = None

    @classmethod
    def chosen(cls, on_ray: bool, text: str | None, address: str | None, token_env: str | None) -> Replicas | None:
        """Return the replicas on Ray; None without Ray.

        Raises:
            UserError: replicas or an address are named without Ray, or as `parsed`.
        """
        if on_ray:
            return cls.parsed(text, address, token_env)
        for option, value in (("--replicas", text), ("--address", address)):
            if value is not None:
                raise UserError(f"{option} {value}: has no effect without --ray; add --ray, or remove it")
        return None

    @classmethod
    def parsed(cls, text: str | None, address: str | None, token_env: str | None) -> Replicas:
        """Return the replicas that `MIN[:MAX]` and an address name.

        Raises:
            UserError: the text is malformed.
        """
        match = _REPLICAS.fullmatch(text or "1")
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high:
            raise UserError(f"--replicas {text}: expected MIN or MIN:MAX, from 1 to 9999, such as 1:4")
        return cls(low, high, address or "embedded", token_env)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of a server: what is served, where, and within which limits.

    `threads` are those of the runtime for one photo, `workers` the photos that are computed at once. Without a token, only
    this machine is served. `allow` are the s3:// prefixes that requests may name objects in.
    """

    model: str
    bundle: str | None = None
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 1
    workers: int = 0
    token: str | None = field(default=None, repr=False)
    allow: tuple[str, ...] = ()
    poll_s: float = 30.0
    open_metrics: bool = False
    limits: Limits = Limits()
    ray: Replicas | None = None
    feedback: FeedbackOptions | None = None
    s3: S3Settings = ENVIRONMENT

    def __post_init__(self) -> None:
        """Check the options against each other.

        Raises:
            UserError: one of them is wrong.
        """
        for prefix in self.allow:
            if not prefix.startswith(S3) or not prefix.removeprefix(S3).split("/")[0] or "#" in prefix:
                raise UserError(f"--allow {prefix}: expected s3://bucket/prefix")
        for option, value, low, high in (
            ("port", self.port, 0, 65535),
            ("threads", self.threads, 0, 1024),
            ("workers", self.workers, 0, 1024),
            ("queue", self.limits.queue, 0, 1_000_000),
            ("max-bytes", self.limits.max_bytes, 1, 1 << 40),
            ("poll", self.poll_s, 0.01, 1e6),
        ):
            if not low <= value <= high:  # also not a number
                raise UserError(f"--{option} {value}: expected {low:,} to {high:,}")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise UserError(f"--name {self.name!r}: expected letters, digits, '.', '_' and '-', 100 at most")

    @property
    def is_local(self) -> bool:
        """Return whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def worker_count(self) -> int:
        """The photos that are computed at once: by default, one for each core that `threads` leaves."""
        return self.workers or max(1, usable_cpus() // max(1, self.threads or usable_cpus()))


def is_loopback(host: str) -> bool:
    """Return whether `host` is an address of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def required_token(name: str | None, host: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token in the variable `name` (default: RAYTL_SERVE_TOKEN); None if there is none and none is needed.

    Raises:
        UserError: the token is missing but other machines can connect, it is too short, or it is not printable ASCII.
    """
    variable = name or TOKEN_ENV
    token = environment.get(variable, "").strip()
    if not token:
        if name is not None or not is_loopback(host):
            reason = "--token-env names it" if name is not None else f"other machines can connect to {host}"
            raise UserError(
                f"{variable} is not set; expected a token, as {reason}. Run `export {variable}=$(openssl rand -hex 32)`, or serve "
                "on 127.0.0.1"
            )
        return None
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"{variable}: found {len(token)} characters; expected {MIN_TOKEN} or more of printable ASCII")
    return token
