"""A Ray session that says nothing on the terminal and leaves the machine as it found it."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from raytl.cluster.scratch import scratch
from raytl.config.home import ray_token_file
from raytl.errors import Unavailable

#: What workers need from the start of their process. Torch's threads sleep while they wait, as spinning ones take the
#: cores from each other and from the loader (experiments/LOG.md: ten times the images/s on two shared cores). And
#: jemalloc, which comes with Ray, told to keep what is freed: Ray trains in a thread, where glibc hands the memory of
#: large tensors back in every step and faults it in again, page by page (up to a third of the images/s).
_OF_WORKERS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_CONF": "oversize_threshold:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,metadata_thp:auto",
    "RAY_LD_PRELOAD_ON_WORKERS": "1",
}
#: Why each: a short poll, or every report costs 2 s; a bounded start and bounded collectives, or a lost rank
#: hangs the others for ever; no watcher of preemptions, as `watch` looks for them; no usage pings (Ray sends one even when told not to, hence the dead URL); workers of
#: the priority that this process has (Ray gives them the least, and they starve beside anything else).
_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "300",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
}
_OBJECT_STORE_BYTES = 256 * 2**20


@contextlib.contextmanager
def session(cluster: str) -> Iterator[None]:
    """Ray is up inside: embedded for `local`, else the running cluster at `cluster` (`auto` or host:port).

    A session that the caller already has is used as it is. One that was started here is shut down, and
    the files of an embedded one are removed.

    Raises:
        Unavailable: no cluster answers at that address.
    """
    for key, value in (_ENVIRONMENT | _OF_WORKERS).items():
        os.environ.setdefault(key, value)
    import ray

    if ray.is_initialized():
        yield
        return
    _hush()
    with _authentication(cluster), _embedded() if cluster == "local" else contextlib.nullcontext() as temporary:
        _start(cluster, temporary)
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _embedded() -> Iterator[Path]:
    """The folder of a Ray that starts inside, with the address 127.0.0.1, so that each of its servers listens there only.

    Ray replaces a loopback address by that of a network interface, except where this constant is False, as it is on
    systems whose firewall asks about each server (https://github.com/ray-project/ray/issues/18730).
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with scratch() as folder:
            yield folder
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _hush() -> None:
    """Send what Ray's raylets say (a worker died, ...) to the log: it has no switch, and would land on standard output."""
    from ray._private import worker

    def log(data: Mapping[str, Any], *_: object, **__: object) -> None:
        for line in data.get("lines", ()):
            logging.getLogger("ray").info("(%s) %s", data.get("pid"), line)

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = log


def _start(cluster: str, temporary: Path | None) -> None:
    import ray

    if temporary is not None:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=str(temporary),
            _node_ip_address="127.0.0.1",
        )
        assert ip_address(ray.util.get_node_ip_address()).is_loopback, "other machines would reach it"
        return
    try:
        workers = {"env_vars": {key: os.environ[key] for key in _OF_WORKERS}}
        ray.init(address=cluster, log_to_driver=False, logging_level=logging.ERROR, runtime_env=workers)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise Unavailable(
            f"compute.cluster: no Ray cluster answers at {cluster!r} ({' '.join(str(exc).split())[:400]}).\n"
            "  Expected: local, none, auto, or the host:port of a running head."
        ) from exc


@contextlib.contextmanager
def _authentication(cluster: str) -> Iterator[None]:
    """Inside, a token is shown to a cluster where there is one. An embedded Ray requires a token of its own, whatever is set
    for others; it is only in the environment, as other users may be able to read a file.
    """
    before = {key: os.environ.get(key) for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    if cluster == "local":
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    elif _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    _read_again()
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        _read_again()


def _read_again() -> None:
    """Ray reads how to authenticate when it is imported, which may have been long before, for another cluster."""
    from ray import _raylet

    inside: Any = _raylet  # without types
    inside.Config.initialize("")
    inside.AuthenticationTokenLoader.instance().reset_cache()


def _has_token() -> bool:
    if any(os.environ.get(key) for key in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return True
    file = ray_token_file()
    return file is not None and os.access(file, os.R_OK)


def nodes() -> list[tuple[float, float]]:
    """(CPUs, GPUs) of each machine of the current session's cluster."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(float(found.get("CPU", 0)), float(found.get("GPU", 0))) for found in alive]
