"""The application on Ray Serve: replicas that scale, each with a model of its own that follows the alias.

HAProxy takes the requests to the replicas directly: https://docs.ray.io/en/latest/serve/. Ray reads these variables when it is
imported, in each of its processes, so they are set before it starts; a cluster that runs already has its own.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import Any

from raytl.cluster.session import STARTED_HERE, session
from raytl.errors import RaytlError, UserError, first_line
from raytl.events import Message, OnEvent, ignore
from raytl.feedback.opening import FeedbackOptions
from raytl.serving.app import Application
from raytl.serving.options import TOKEN_ENV, Replicas, ServeOptions, required_token
from raytl.serving.running import running

APP = "raytl"
_HEALTH_S = 10.0
_DRAIN_S = "1"
"""Of replicas on a Ray of their own, before which nothing balances that must learn of their end (30 s by default)."""
_THROUGHPUT = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


class RayServeError(RaytlError):
    """Ray Serve does not start, or its replicas do not."""


def replica_app(options: ServeOptions) -> Application:
    """Return the application of a replica, with an open and warm model; its lifespan ends the threads."""
    assert options.ray is not None, "only replicas on Ray call this"
    token = required_token(options.ray.token_env, options.host)
    stack = ExitStack()
    return Application(stack.enter_context(running(replace(options, token=token))), stack.close)


def bound(options: ServeOptions) -> Any:
    """Return the application for Ray Serve that `options` describe, not running yet."""
    from ray import serve

    options = for_replicas(options)
    ray = options.ray or Replicas()
    slots = options.worker_count + options.limits.queue
    scale: dict[str, Any] = {"num_replicas": ray.min_replicas}
    if ray.max_replicas > ray.min_replicas:
        target = max(1, options.worker_count)
        scale = {
            "autoscaling_config": {
                "min_replicas": ray.min_replicas,
                "max_replicas": ray.max_replicas,
                "target_ongoing_requests": target,
            }
        }
    replica: Any = serve.ingress(lambda: replica_app(options))()
    deployment: Any = serve.deployment(
        replica,
        name=APP,
        max_ongoing_requests=slots,
        graceful_shutdown_timeout_s=options.limits.drain_s,
        health_check_period_s=_HEALTH_S,
        ray_actor_options={"num_cpus": cpus_of(options)},
        **scale,
    )
    return deployment.bind()


def for_replicas(options: ServeOptions) -> ServeOptions:
    """Return the options that replicas get, which Ray stores: without the token, which they must have in a variable of their own."""
    ray = options.ray or Replicas()
    token_env = ray.token_env or (None if options.token is None else TOKEN_ENV)
    return replace(options, token=None, ray=replace(ray, token_env=token_env))


def cpus_of(options: ServeOptions) -> int:
    """Return the CPUs that a replica reserves."""
    return max(1, options.threads) * options.worker_count


def application(args: Mapping[str, str]) -> Any:
    """Return the application for the configuration file of Ray Serve (`raytl.serving.ray_serve:application`).

    `args` has `model`, and may have `bundle`, `name`, `threads`, `workers`, `allow` (separated by spaces), `token_env`,
    `poll_s`, `open_metrics` and `replicas` (MIN:MAX) and
    `feedback` (a URI).

    Raises:
        UserError: an unknown or wrong argument.
    """
    return bound(options_of(args))


def options_of(args: Mapping[str, str]) -> ServeOptions:
    """Return the options that the arguments of a configuration file name; see `application`."""
    readers: Mapping[str, Callable[[str], Any]] = {
        "model": str,
        "bundle": str,
        "name": str,
        "threads": int,
        "workers": int,
        "allow": lambda text: tuple(text.split()),
        "poll_s": float,
        "open_metrics": lambda text: text.lower() == "true",
        "feedback": FeedbackOptions,
    }
    unknown = set(args) - {*readers, "token_env", "replicas"}
    if unknown or "model" not in args:
        raise UserError(
            f"args: found {sorted(args)}; expected model, and any of {', '.join(sorted(readers))} token_env and replicas"
        )
    try:
        values = {name: readers[name](str(args[name])) for name in args if name in readers}
    except ValueError as error:
        raise UserError(f"args: {error}; expected a number") from error
    workers = values.pop("workers", 1)
    ray = Replicas.parsed(args.get("replicas"), "auto", args.get("token_env"))
    return ServeOptions(**values, workers=workers, host="0.0.0.0", ray=ray)  # noqa: S104 - a pod's own address


def serve(
    options: ServeOptions, on_event: OnEvent = ignore, on_ready: Callable[[str], None] = lambda uri: None
) -> None:
    """Serve on Ray until SIGTERM or Ctrl-C, then remove the application.

    Raises:
        RayServeError: the replicas do not start; with the reason of the first.
        UserError: the machine has too few CPUs for the replicas.
    """
    ray = options.ray or Replicas()
    is_own = ray.cluster in STARTED_HERE
    options = replace(options, workers=options.workers or 1)
    with _environment() if is_own else _nothing(), session(ray.cluster):
        _check_cpus(options, ray, is_own, on_event)
        from ray import serve as ray_serve

        try:
            ray_serve.start(http_options={"host": options.host, "port": options.port})
            on_event(Message(f"Starting {ray.min_replicas} replica(s) on Ray Serve"))
            ray_serve.run(bound(options), name=APP, route_prefix="/")
        except Exception as error:
            ray_serve.shutdown()
            raise RayServeError(f"Ray Serve: {_reason(error)}") from error
        try:
            uri = f"http://{options.host}:{options.port}"
            on_event(Message(f"Serving {options.model} at {uri} (docs: {uri}/docs)"))
            on_ready(uri)
            _wait_for_signal()
        finally:
            ray_serve.shutdown() if is_own else ray_serve.delete(APP)


def _check_cpus(options: ServeOptions, ray: Replicas, is_own: bool, on_event: OnEvent) -> None:
    """Check that the replicas fit: Ray would wait without end.

    Raises:
        UserError: they do not fit on this machine.
    """
    import ray as ray_

    wanted, present = ray.min_replicas * cpus_of(options), ray_.cluster_resources().get("CPU", 0.0)
    if wanted <= present:
        return
    text = f"{ray.min_replicas} replicas of {cpus_of(options)} CPUs need {wanted} CPUs, and there are {present:g}"
    if is_own:
        raise UserError(f"--replicas {ray.min_replicas}: {text}. Choose fewer replicas, --workers or --threads")
    on_event(Message(f"{text} now; waiting until the cluster adds some", "warning"))


@contextmanager
def _environment() -> Iterator[None]:
    """Set Ray Serve's variables for a Ray that is started here; its files are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="raytl-serve-") as folder:
        variables = {
            **_THROUGHPUT,
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": _DRAIN_S,
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(Path(folder, "haproxy.cfg")),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(Path(folder, "admin.sock")),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(Path(folder, "server-state")),
        }
        added = {name: value for name, value in variables.items() if name not in os.environ}
        os.environ.update(added)
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _wait_for_signal() -> None:
    stopped = threading.Event()
    before = {number: signal(number, lambda *_: stopped.set()) for number in (SIGINT, SIGTERM)}
    try:
        stopped.wait()
    finally:
        for number, handler in before.items():
            signal(number, handler)


def _reason(error: Exception) -> str:
    return first_line(error)[:500]
