"""Open the recorder that `raytl serve --feedback` names."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from raytl.errors import ConfigError, UserError
from raytl.events import OnEvent, ignore
from raytl.feedback.recorder import Keep, Recorder
from raytl.feedback.redact import redact_with, unredacted
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

REDACT_ENV = "RAYTL_REDACT"
"""The variable with the redaction command, if the command line has none."""
_MAX_HOST = 70
"""Characters of the host's name, so that the name of the server fits into a key."""


@dataclass(frozen=True)
class FeedbackOptions:
    """The place of feedback and its limits: `images` of each reason (random, uncertain, unfamiliar) in each window of `window_s`, for
    `days`, of at most `max_gb`. `redact` is a command that redacts photos; None = that of `RAYTL_REDACT`, empty = none."""

    uri: str
    images: int = 40
    window_s: float = 3600.0
    days: float = 30.0
    max_gb: float = 10.0
    redact: str | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UserError: one of them is out of range.
        """
        if not 1 <= self.images <= 1000:
            raise UserError(f"--feedback-images {self.images}: expected 1 to 1000")
        for name, value, low in (("window", self.window_s, 10), ("days", self.days, 0.01), ("gb", self.max_gb, 0.001)):
            if not low <= value <= 1e6:
                raise UserError(f"--feedback-{name} {value:g}: expected {low:g} or more")


def open_recorder(
    options: FeedbackOptions,
    s3: S3Settings = ENVIRONMENT,
    on_event: OnEvent = ignore,
    environment: Mapping[str, str] = os.environ,
    *,
    server: str,
) -> Recorder:
    """Return the recorder of this server, which is named by its host and by `server`, as others may run on the same host.

    Raises:
        ConfigError: the redaction command is none.
        StoreError: the URI names no store.
    """
    command = options.redact if options.redact is not None else environment.get(REDACT_ENV, "")
    keep = Keep(
        random_images=options.images,
        uncertain=options.images,
        unfamiliar=options.images,
        window_s=options.window_s,
        days=options.days,
        max_bytes=int(options.max_gb * 1e9),
    )
    if options.redact is not None and not command.strip():
        raise ConfigError("--redact is empty; expected a program and its arguments, or leave it out")
    redact = redact_with(command, keep.max_photo_bytes) if command.strip() else unredacted
    name = f"{socket.gethostname()[:_MAX_HOST]}-{server}"
    return Recorder(open_store(options.uri, s3), name, keep, redact=redact, on_event=on_event)
