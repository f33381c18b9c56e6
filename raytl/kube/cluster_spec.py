"""The specification of a Ray cluster on Kubernetes, as a value, and its validation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from raytl.config import credentials
from raytl.errors import UserError

Kind = Literal["rayjob", "raycluster", "cronjob", "raycronjob"]
Verb = Literal["train", "tune"]

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._:-]*(/[a-z0-9._-]+)*(:[\w][\w.-]{0,127}|(:[\w][\w.-]{0,127})?@sha256:[0-9a-f]{64})"
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_QUANTITY = re.compile(r"([1-9][0-9]*)(Mi|Gi|Ti)")
_SCHEDULE = re.compile(r"@(hourly|daily|weekly|monthly|yearly)|[\dA-Za-z*/,-]+( [\dA-Za-z*/,-]+){4}")
_BYTES = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_MAX_NAME = 47
"""KubeRay appends up to 16 characters to the name of a RayJob; Kubernetes allows 63."""
_MAX_SCHEDULED_NAME = 33
"""A schedule inserts a dash, eight digits and -tick before those."""
_MIN_GRACE_S = 15


@dataclass(frozen=True)
class ClusterSpec:
    """The purpose and the machines of a cluster; the files in clusters/ are rendered from the defaults."""

    kind: Kind = "rayjob"
    name: str = "raytl"
    namespace: str = "raytl"
    image: str = "registry.example/raytl:0.1.0"
    gpus: int = 8
    gpus_per_node: int = 4
    cpus_per_gpu: int = 8
    memory_per_gpu: str = "32Gi"
    cache: str = "200Gi"
    """Node-local disk for data, decoded images and shared activations."""
    cache_class: str = ""
    """The storage class of that disk; empty = the node's ephemeral storage."""
    bucket: str = "my-bucket"
    runs_claim: str = ""
    """A ReadWriteMany PersistentVolumeClaim for runs, mounted by all pods; empty = runs are in the bucket."""
    spot: bool = True
    verb: Verb = "train"
    experiment: str = ""
    """The experiment's text, which is embedded in the file; empty = an existing ConfigMap."""
    overrides: tuple[str, ...] = ()
    grace_s: int = 120
    """Seconds from the eviction notice of a worker's pod until it is killed."""
    deadline_s: int = 86_400
    schedule: str = "0 6 * * *"
    """When a cronjob or raycronjob runs a retraining tick, in UTC."""

    @property
    def scheduled(self) -> bool:
        """True if it runs `raytl retrain` on a schedule."""
        return self.kind in ("cronjob", "raycronjob")

    @property
    def nodes(self) -> int:
        """The number of workers; each is a whole machine."""
        return self.gpus // self.gpus_per_node

    @property
    def drain_s(self) -> int:
        """The part of the grace period for the checkpoint, in seconds; the rest is for Ray to shut down."""
        return self.grace_s * 3 // 4


def validate(cluster: ClusterSpec) -> ClusterSpec:
    """Return the same cluster spec.

    Raises:
        UserError: it is invalid; the text lists all problems.
    """
    problems = list(_problems(cluster))
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UserError("\n".join([f"the {cluster.kind}: {count}", *(f"  {problem}" for problem in problems)]))
    return cluster


def binary_bytes(text: str) -> int:
    """Return the bytes of a quantity such as 512Mi, 32Gi or 2Ti."""
    match = _QUANTITY.fullmatch(text)
    assert match, text
    return int(match[1]) * _BYTES[match[2]]


def quantity(count: int) -> str:
    """Return the bytes as a whole number of Gi if possible, else of Mi."""
    mebibytes = count // 2**20
    return f"{mebibytes}Mi" if mebibytes % 1024 else f"{mebibytes // 1024}Gi"


def _problems(cluster: ClusterSpec) -> Iterator[str]:
    yield from _counts(cluster)
    label = "lower-case letters, digits and dashes, starting with a letter"
    max_name = _MAX_SCHEDULED_NAME if cluster.scheduled else _MAX_NAME
    for key, value, max_length in (("name", cluster.name, max_name), ("namespace", cluster.namespace, 63)):
        if not _LABEL.fullmatch(value) or len(value) > max_length:
            yield f"--{key}: found {value!r}; expected {label}, at most {max_length} characters"
    for key, value in (("cache-class", cluster.cache_class), ("runs-claim", cluster.runs_claim)):
        if value and not _SUBDOMAIN.fullmatch(value):
            yield f"--{key}: found {value!r}; expected lower-case letters, digits, dashes and dots"
    for key, value in (("memory-per-gpu", cluster.memory_per_gpu), ("cache", cluster.cache)):
        if not _QUANTITY.fullmatch(value):
            yield f"--{key}: found {value!r}; expected a quantity such as 512Mi, 32Gi or 2Ti"
    if not _IMAGE.fullmatch(cluster.image) or cluster.image.endswith(":latest"):
        yield f"--image: found {cluster.image!r}; expected registry/name:tag with an immutable tag (not latest)"
    if not _BUCKET.fullmatch(cluster.bucket):
        yield f"--bucket: found {cluster.bucket!r}; expected the bucket's name without s3://"
    yield from _job(cluster)


def _counts(cluster: ClusterSpec) -> Iterator[str]:
    for key, value in (
        ("gpus", cluster.gpus),
        ("gpus-per-node", cluster.gpus_per_node),
        ("cpus-per-gpu", cluster.cpus_per_gpu),
    ):
        if value < 1:
            yield f"--{key}: found {value}; expected 1 or more"
    if cluster.gpus >= 1 and cluster.gpus_per_node >= 1 and cluster.gpus % cluster.gpus_per_node:
        yield (
            f"--gpus: found {cluster.gpus} with {cluster.gpus_per_node} per node; expected a multiple of --gpus-per-node, "
            "because every worker is a whole node"
        )
    for key, value, minimum in (("grace", cluster.grace_s, _MIN_GRACE_S), ("deadline", cluster.deadline_s, 60)):
        if value < minimum:
            yield f"--{key}: found {value} s; expected {minimum} s or more"


def _job(cluster: ClusterSpec) -> Iterator[str]:
    for override in cluster.overrides:
        if not re.match(r"[a-z_][\w.]*=", override):
            yield f"--set: found {override!r}; expected A.B=VALUE"
        if fault := credentials.first_fault(override, os.environ):
            yield f"--set: {fault}; {credentials.advice(override.partition('=')[0])}"
    if cluster.scheduled:
        if not _SCHEDULE.fullmatch(cluster.schedule):
            yield f"--schedule: found {cluster.schedule!r}; expected five fields, such as '0 6 * * *', or @daily"
        if cluster.verb != "train":
            yield f"--verb: a {cluster.kind} always retrains; omit it, or use --kind rayjob"
        return
    if cluster.schedule != ClusterSpec.schedule:
        yield f"--schedule: a {cluster.kind} has no schedule; omit it, or use --kind cronjob"
    if cluster.kind == "raycluster":
        options = [
            ("--experiment", bool(cluster.experiment)),
            ("--set", bool(cluster.overrides)),
            ("--verb", cluster.verb != "train"),
        ]
        for option, is_set in options:
            if is_set:
                yield f"{option}: a raycluster runs jobs that are submitted later; omit it, or use --kind rayjob"
    elif cluster.verb == "tune" and not cluster.runs_claim:
        yield "--verb tune: a sweep on several machines needs a shared volume for its runs; name one with --runs-claim"
