"""A Ray session that prints nothing and leaves no files, processes or environment variables behind."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from raytl.cluster.temp_dir import ray_temp_dir
from raytl.config.schema import ComputeConfig
from raytl.disk import disk_error
from raytl.errors import Denied, RaytlError, Unavailable
from raytl.home import ray_token_file

#: Set before a worker process starts. OpenMP threads sleep while they wait: spinning ones take cores from each other and
#: from the loader (experiments/LOG.md: ten times the images/s on two shared cores). jemalloc, which ships with Ray, keeps
#: freed memory: Ray trains in a thread, where glibc returns the memory of large tensors to the system in every step and
#: faults it in again page by page (up to a third of the images/s).
_WORKER_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_CONF": "oversize_threshold:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,metadata_thp:auto",
    "RAY_LD_PRELOAD_ON_WORKERS": "1",
}
#: A short wait for each poll of a worker; no metrics and logs of Ray Train's own, because its controller runs in this
#: process (`trainer`); no preemption watcher, because `watch` detects preemption; no usage reports (Ray sends one even
#: when disabled, hence the dead URL); normal priority for workers (Ray's default niceness starves them).
_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
}
#: Of an embedded Ray's agent: seldom samples of the machine's processes, which only a dashboard would show.
_EMBEDDED_ENVIRONMENT = {"REPORTER_UPDATE_INTERVAL_MS": "30000"}
_OBJECT_STORE_BYTES = 256 * 2**20
#: Of an embedded Ray: no records and statistics for a dashboard that does not exist, nothing for an autoscaler, and fewer
#: looks at the memory of all processes (every 250 ms by default).
_SYSTEM_CONFIG = {
    "task_events_report_interval_ms": 0,
    "event_stats": False,
    "gcs_pull_resource_loads_period_milliseconds": 10_000,
    "report_worker_backlog_interval_ms": 10_000,
    "memory_monitor_refresh_ms": 1000,
}
STARTED_HERE = ("local", "embedded")
"""The values of `compute.cluster` for which Ray is started on this machine."""


@dataclass(frozen=True, slots=True)
class Prestart:
    """The worker processes that a Ray started here starts at once: `count` of them, which import `modules`.

    Ray itself starts one for each CPU, without modules. `threads` are those of OpenMP in all of its workers, which Ray sets
    too late for a process that has imported torch; None with modules that do not.
    """

    count: int
    modules: tuple[str, ...] = ()
    threads: int | None = None


def for_group(compute: ComputeConfig) -> Prestart:
    """Return the processes of a worker group and its coordinator."""
    return Prestart(compute.max_workers + 1)


@contextlib.contextmanager
def session(cluster: str, prestart: Prestart | None = None) -> Iterator[None]:
    """Connect to Ray while inside: one that is started here (`STARTED_HERE`), or that at `cluster` (`auto` or host:port).

    An existing session of the process is reused. A session that was started here is shut down at the end, and the files
    of an embedded one are removed.

    Raises:
        Unavailable: no cluster answers at that address, or no Ray could be started here.
        Denied: the cluster refuses the token.
    """
    prepare_environment(cluster)
    import ray

    if ray.is_initialized():
        yield
        return
    _redirect_raylet_output()
    embed = _embedded(prestart) if cluster in STARTED_HERE else contextlib.nullcontext()
    with _authentication(cluster), embed as temporary:
        _start(cluster, temporary, prestart.modules if prestart else ())
        try:
            yield
        finally:
            ray.shutdown()


def prepare_environment(cluster: str) -> None:
    """Set the environment variables of a session, where they are not set; before Ray and torch are imported."""
    embedded = _EMBEDDED_ENVIRONMENT if cluster in STARTED_HERE else {}
    for key, value in (_ENVIRONMENT | _WORKER_ENVIRONMENT | embedded).items():
        os.environ.setdefault(key, value)


@contextlib.contextmanager
def _embedded(prestart: Prestart | None) -> Iterator[Path]:
    """Yield the temporary directory of an embedded Ray whose servers listen on 127.0.0.1 only.

    Ray replaces a loopback address by that of a network interface unless this constant is False
    (https://github.com/ray-project/ray/issues/18730).
    """
    from ray._private import ray_constants

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(ray_temp_dir())
        stack.enter_context(replaced(ray_constants, "ENABLE_RAY_CLUSTER", False))
        stack.enter_context(_few_processes())
        if prestart is not None:
            stack.enter_context(_prestarting(prestart))
        yield folder


@contextlib.contextmanager
def _few_processes() -> Iterator[None]:
    """Start an embedded Ray without its monitors of logs and autoscaling and without the process of its dashboard.

    Nothing reads them here: raytl prints no logs of workers, and `include_dashboard=False` alone starts the process all the
    same. Ray has no public option for any of them.
    """
    from ray._private import node, parameter

    params: Any = parameter.RayParams  # its annotation of `include_log_monitor` is wrong
    lean = partial(params, include_log_monitor=False, no_monitor=True)
    with replaced(parameter, "RayParams", lean), replaced(node.Node, "start_api_server", lambda *_, **__: None):
        yield


@contextlib.contextmanager
def _prestarting(prestart: Prestart) -> Iterator[None]:
    """Change the raylet's command and environment; Ray has no option for the number."""
    from ray._private import services

    start, flag = services.start_ray_process, "--num_prestart_python_workers="

    def changed(command: list[str], kind: str, *given: Any, **named: Any) -> Any:
        command = [f"{flag}{prestart.count}" if each.startswith(flag) else each for each in command]
        if prestart.threads is not None:
            threads = os.environ.get("OMP_NUM_THREADS", str(prestart.threads))
            named["env_updates"] = {**(named.get("env_updates") or {}), "OMP_NUM_THREADS": threads}
        return start(command, kind, *given, **named)

    with replaced(services, "start_ray_process", changed):
        yield


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Replace an attribute of a module or class of Ray's while inside."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _redirect_raylet_output() -> None:
    """Send raylet output (a worker died, ...) to the log; Ray prints it to standard output and has no option for it."""
    from ray._private import worker

    def log(data: Mapping[str, Any], *_: object, **__: object) -> None:
        for line in data.get("lines", ()):
            logging.getLogger("ray").info("(%s) %s", data.get("pid"), line)

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = log


def _start(cluster: str, temporary: Path | None, modules: tuple[str, ...]) -> None:
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if temporary is None:
        options["runtime_env"] = {"env_vars": {key: os.environ[key] for key in _WORKER_ENVIRONMENT}}
    else:
        options |= {
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_system_config": {**_SYSTEM_CONFIG, "preload_python_modules": list(modules)},
            "_temp_dir": str(temporary),
            "_node_ip_address": "127.0.0.1",
        }
    try:
        ray.init(address="local" if temporary else cluster, **options)
    except Exception as exc:  # Ray raises plain ones too, for processes that do not start in time
        raise _refusal(cluster, exc) from exc
    if temporary is not None:
        assert ip_address(ray.util.get_node_ip_address()).is_loopback, "other machines could connect"


def _refusal(cluster: str, exc: Exception) -> RaytlError:
    """Return the error for a Ray that was not joined or started."""
    from ray.exceptions import AuthenticationError

    text = " ".join(str(exc).split())[:400]
    if full := disk_error(exc):
        return full
    if isinstance(exc, AuthenticationError):
        return Denied(
            f"compute.cluster: {cluster!r} refuses this token ({text}).\n"
            "  Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token."
        )
    if cluster in STARTED_HERE:
        return Unavailable(
            f"compute.cluster: no Ray could be started on this machine ({text}).\n"
            "  Run the same command again when the machine is less busy. One worker needs no Ray: compute.cluster: none."
        )
    return Unavailable(
        f"compute.cluster: no Ray cluster at {cluster!r} ({text}).\n"
        "  Expected: local, embedded, none, auto, or the host:port of a running head."
    )


@contextlib.contextmanager
def _authentication(cluster: str) -> Iterator[None]:
    """Authenticate with the cluster's token, if one is configured, while inside.

    An embedded Ray gets a new token of its own, which stays in the environment: other users could read a file.
    """
    before = {key: os.environ.get(key) for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    if cluster in STARTED_HERE:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    elif _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    _reload_authentication()
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        _reload_authentication()


def _reload_authentication() -> None:
    """Make Ray read its authentication settings again; it reads them once, at import, perhaps for another cluster."""
    from ray import _raylet

    raylet: Any = _raylet  # untyped
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _has_token() -> bool:
    if any(os.environ.get(key) for key in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return True
    file = ray_token_file()
    return file is not None and os.access(file, os.R_OK)


def nodes() -> list[tuple[float, float]]:
    """Return (CPUs, GPUs) of each live node of the current session's cluster."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(float(resources.get("CPU", 0)), float(resources.get("GPU", 0))) for resources in alive]
