"""The verb that serves a model over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from raytl.api.run import machine_of
from raytl.cli.watch import watched
from raytl.config.machine import Machine
from raytl.events import OnEvent
from raytl.store.s3_settings import S3Settings


def serve(
    model: str | os.PathLike[str],
    *,
    bundle: str | None = None,
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int = 1,
    workers: int = 0,
    token_env: str | None = None,
    open_metrics: bool = False,
    allow: Sequence[str] = (),
    max_bytes: int = 32 << 20,
    queue: int = 64,
    poll_s: float = 30.0,
    replicas: str | None = None,
    address: str | None = None,
    ray: bool = False,
    feedback: str | None = None,
    feedback_images: int | None = None,
    feedback_window_s: float | None = None,
    feedback_days: float | None = None,
    feedback_gb: float | None = None,
    redact: str | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
    on_ready: Callable[[str], None] = lambda uri: None,
) -> None:
    """Serve a bundle over HTTP until SIGTERM or Ctrl-C; see `raytl serve`.

    `model` is a bundle of `raytl export`, a run that has one (`bundle` chooses among several), the `s3://` URI of either, or a
    version such as `models:trash@champion`. `threads` are those of the runtime for a photo (0 = one for each core) and `workers`
    the photos that are computed at once (0 = cores / threads). Any host but this machine needs a token in the variable
    `token_env` (default: RAYTL_SERVE_TOKEN). Requests may name objects below the `s3://` prefixes in `allow`. With `ray`,
    `replicas` (`"1:4"`) run on the cluster at `address`, or on a Ray of their own.
    A sample of the answered photos is recorded below the URI `feedback` for `raytl collect`: `feedback_images` (40) of each reason
    each `feedback_window_s` (3600), for `feedback_days` (30), `feedback_gb` (10) at most, changed by the command `redact` first. `on_ready` gets the address.

    Raises:
        UserError: an option is wrong, the token is missing, or there is no bundle.
        RaytlError: the address cannot be listened on, or Ray Serve does not start.
    """
    from raytl.serving.driver import serve as serve_model
    from raytl.serving.options import Limits, Replicas, ServeOptions, required_token
    from raytl.serving.recording import feedback_options

    settings = machine or machine_of(model) or Machine()
    recorded = feedback_options(
        feedback, images=feedback_images, window_s=feedback_window_s, days=feedback_days, max_gb=feedback_gb, redact=redact
    )  # fmt: skip
    options = ServeOptions(
        os.fspath(model), bundle=bundle, name=name, host=host, port=port, threads=threads, workers=workers, poll_s=poll_s,
        token=required_token(token_env, host), open_metrics=open_metrics, allow=tuple(allow), feedback=recorded,
        limits=Limits.of(max_bytes, settings.max_pixels, queue),
        ray=Replicas.chosen(ray, replicas, address, token_env), s3=S3Settings.of(settings.storage),
    )  # fmt: skip
    with watched(progress, on_event) as emit:
        serve_model(options, emit, on_ready)
