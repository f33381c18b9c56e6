"""What is submitted, as a value: `raytl submit --dry-run` prints exactly this, and the client sends exactly this."""

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
from raytl.jobs.pack import EXPERIMENT, Pack, is_here

Verb = Literal["train", "tune", "evaluate", "retrain"]
Supply = Literal["image", "pip", "code"]
"""Where the cluster's raytl comes from: its image, the package index at this version, or this machine's checkout."""


@dataclass(frozen=True)
class JobSpec:
    """One job: the same verb, experiment and code have the same `id`, up to the attempt behind its last dash."""

    id: str
    entrypoint: str
    runtime_env: dict[str, Any]
    metadata: dict[str, str]
    cpus: float = 0.0
    gpus: float = 0.0
    files: dict[str, int] = field(default_factory=dict)
    """What travels with it, by name, with sizes in bytes; the runtime environment names it by its digest."""


def job_spec(
    verb: Verb,
    experiment: Experiment,
    packed: Pack,
    *,
    supply: Supply,
    version: str,
    user: str,
    commit: str,
    attempt: int = 1,
    new: bool = False,
    cpus: float = 0.0,
) -> JobSpec:
    """The job that does `verb` with `experiment`; its `attempt` counts what was submitted before under the same id.

    With `new` the run starts over; a tick of retraining has none, and is another one. No secret goes into it: what the
    cluster needs to reach buckets is the cluster's.
    """
    words = ["python", "-m", "raytl", verb]
    if verb == "evaluate":
        words += [run_uri(experiment)]
        words += [word for setting in as_assignments(experiment) for word in ("--set", setting)]
    else:
        words += [EXPERIMENT, "--set", f"compute.cluster={cluster_of(experiment)}"]
        words += ["--new"] if new and verb != "retrain" else []
    return JobSpec(
        id=f"{base_id(verb, experiment, packed)}-{attempt}",
        entrypoint=shlex.join(words),
        runtime_env=_environment(packed, supply, version),
        metadata={
            "raytl": version,
            "verb": verb,
            "experiment": experiment.name,
            "fingerprint": fingerprint(experiment),
            "snapshot": experiment.data.snapshot or "",
            "run": _made(verb, experiment),
            "user": user,
            "commit": commit,
        },
        cpus=cpus,
        files=dict(packed.sizes),
    )


def _made(verb: Verb, experiment: Experiment) -> str:
    """Where what it makes will lie."""
    if verb == "retrain":
        return registry_of(experiment)
    return winner_uri(experiment) if verb == "tune" else run_uri(experiment)


def base_id(verb: Verb, experiment: Experiment, packed: Pack) -> str:
    """`raytl-<verb>-<name>-<digest>`: of what is done, and with which code."""
    digest = hashlib.sha256(json.dumps([verb, packed.digest]).encode()).hexdigest()[:10]
    name = re.sub(r"[^a-z0-9]+", "-", experiment.name.lower()).strip("-")[:40]
    return f"raytl-{verb}-{name}-{digest}"


def registry_of(experiment: Experiment) -> str:
    """Where the versions of a model that is retrained elsewhere go.

    Raises:
        ConfigError: it is not set, or on this machine only.
    """
    found = experiment.retrain.registry
    if found is None or is_here(found):
        told = "nothing" if found is None else repr(found)
        raise ConfigError(
            f"retrain.registry: found {told}; expected s3://bucket/prefix, or the full path of a folder on every node"
        )
    return found


def cluster_of(experiment: Experiment) -> str:
    """Where the verb runs once it is there: on that cluster, but for an experiment that asks for no Ray at all."""
    return "none" if experiment.compute.cluster == "none" else "auto"


def _environment(packed: Pack, supply: Supply, version: str) -> dict[str, Any]:
    """Ray's runtime environment; the working folder is named by its content and uploaded by the client."""
    made: dict[str, Any] = {"working_dir": f"pack:{packed.digest[:16]}"}
    if supply == "pip":
        made["pip"] = [f"raytl=={version}"]
    return made
