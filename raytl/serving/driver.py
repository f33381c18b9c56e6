"""Serve a model until stopped, by uvicorn in this process or on Ray Serve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from raytl.errors import UserError
from raytl.events import Message, OnEvent, ignore
from raytl.serving.observe import Observer
from raytl.serving.options import ServeOptions
from raytl.serving.running import running

_SERVE_EXTRA = "pip install 'raytl[serve]'"


def serve(
    options: ServeOptions,
    on_event: OnEvent = ignore,
    on_ready: Callable[[str], None] = lambda uri: None,
    observer: Observer | None = None,
) -> None:
    """Serve on this machine until SIGTERM or Ctrl-C; `on_ready` gets the address once requests are answered.

    Raises:
        UserError: the extra is missing; or as `running`.
        PortError: the address cannot be listened on.
    """
    if options.ray is not None:
        if observer is not None:
            raise UserError(
                "an observer sees the answers of this process; expected none with Ray, whose replicas are others"
            )
        _serve_on_ray(options, on_event, on_ready)
        return
    try:
        from raytl.serving import server
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; run `{_SERVE_EXTRA}`") from error
    with server.listening(options.host, options.port) as bound, running(options, observer, on_event) as service:
        port = bound.getsockname()[1]
        host = f"[{options.host}]" if ":" in options.host else options.host
        uri = f"http://{host}:{port}"
        served = service.live.current
        on_event(Message(f"Serving {service.name} version {served.version} at {uri} (docs: {uri}/docs)"))
        server.run(service, bound, partial(on_ready, uri))


def _serve_on_ray(options: ServeOptions, on_event: OnEvent, on_ready: Callable[[str], None]) -> None:
    from importlib.util import find_spec

    if find_spec("fastapi") is None:  # ray[serve] brings it, Ray alone does not
        raise UserError(f"ray[serve] is not installed; run `{_SERVE_EXTRA}`")
    from raytl.serving import ray_serve

    ray_serve.serve(options, on_event, on_ready)
