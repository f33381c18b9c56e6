"""The submission as a value: `raytl submit --dry-run` prints it and the client sends it."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Any, Literal

from raytl.config.fingerprint import fingerprint
from raytl.config.machine import as_assignments
from raytl.config.places import run_uri, winner_uri
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.jobs.pack import EXPERIMENT, Pack, is_local

Verb = Literal["train", "tune", "evaluate", "retrain"]
CodeSource = Literal["image", "pip", "checkout"]
"""The source of the cluster's raytl: its image, the package index at this version, or this machine's checkout."""


@dataclass(frozen=True)
class JobSpec:
    """One job: equal verb, experiment and code give an equal `id`, up to the attempt number after its last dash."""

    id: str
    entrypoint: str
    runtime_env: dict[str, Any]
    metadata: dict[str, str]
    cpus: float = 0.0
    gpus: float = 0.0
    files: dict[str, int] = field(default_factory=dict)
    """The packaged files and their sizes in bytes; the runtime environment refers to the package by its digest."""


def job_spec(
    verb: Verb,
    experiment: Experiment,
    packed: Pack,
    *,
    code_source: CodeSource,
    version: str,
    user: str,
    commit: str,
    attempt: int = 1,
    new: bool = False,
    cpus: float = 0.0,
) -> JobSpec:
    """Return the job that runs `verb` on `experiment`; `attempt` counts the submissions under the same id.

    With `new` the run starts over; a retraining tick ignores it. The job holds no secrets: the cluster uses its own
    credentials.
    """
    words = ["python", "-m", "raytl", verb]
    if verb == "evaluate":
        words += [run_uri(experiment)]
        words += [word for assignment in as_assignments(experiment) for word in ("--set", assignment)]
    else:
        words += [EXPERIMENT, "--set", f"compute.cluster={cluster_of(experiment)}"]
        words += ["--new"] if new and verb != "retrain" else []
    runtime_env = _runtime_env(packed, code_source, version)
    return JobSpec(
        id=f"{_base_id(verb, experiment, runtime_env)}-{attempt}",
        entrypoint=shlex.join(words),
        runtime_env=runtime_env,
        metadata={
            "raytl": version,
            "verb": verb,
            "experiment": experiment.name,
            "fingerprint": fingerprint(experiment),
            "snapshot": experiment.data.snapshot or "",
            "run": _output_uri(verb, experiment),
            "user": user,
            "commit": commit,
        },
        cpus=cpus,
        files=dict(packed.sizes),
    )


def _output_uri(verb: Verb, experiment: Experiment) -> str:
    """Return where the job writes its result."""
    if verb == "retrain":
        return registry_of(experiment)
    return winner_uri(experiment) if verb == "tune" else run_uri(experiment)


def _base_id(verb: Verb, experiment: Experiment, runtime_env: dict[str, Any]) -> str:
    """Return `raytl-<verb>-<name>-<digest>`, with the digest of the verb, the package, and the version of raytl from an index."""
    digest = hashlib.sha256(json.dumps([verb, runtime_env]).encode()).hexdigest()[:10]
    name = re.sub(r"[^a-z0-9]+", "-", experiment.name.lower()).strip("-")[:40]
    return f"raytl-{verb}-{name}-{digest}"


def registry_of(experiment: Experiment) -> str:
    """Return the registry of a model that is retrained on a cluster.

    Raises:
        ConfigError: it is not set, or on this machine only.
    """
    registry = experiment.retrain.registry
    if registry is None or is_local(registry):
        value = "nothing" if registry is None else repr(registry)
        raise ConfigError(
            f"retrain.registry: found {value}; expected s3://bucket/prefix, or an absolute path that exists on every node"
        )
    return registry


def cluster_of(experiment: Experiment) -> str:
    """Return compute.cluster for the job: that cluster, unless the experiment disables Ray."""
    return "none" if experiment.compute.cluster == "none" else "auto"


def _runtime_env(packed: Pack, code_source: CodeSource, version: str) -> dict[str, Any]:
    """Return Ray's runtime environment; the working directory is named by its content and uploaded by the client."""
    runtime_env: dict[str, Any] = {"working_dir": f"pack:{packed.digest[:16]}"}
    if code_source == "pip":
        runtime_env["pip"] = [f"raytl=={version}"]
    return runtime_env
