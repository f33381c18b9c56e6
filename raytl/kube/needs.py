"""What is wanted of a Ray cluster on Kubernetes, as a value; and all that is wrong with it."""

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
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._:-]*(/[a-z0-9._-]+)*((:[\w][\w.-]{0,127})|(@sha256:[0-9a-f]{64}))")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_QUANTITY = re.compile(r"([1-9][0-9]*)(Mi|Gi|Ti)")
_SCHEDULE = re.compile(r"@(hourly|daily|weekly|monthly|yearly)|[\dA-Za-z*/,-]+( [\dA-Za-z*/,-]+){4}")
_BYTES = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_LONGEST_NAME = 47
"""KubeRay puts up to 16 characters behind the name of a RayJob, and Kubernetes takes 63."""
_LONGEST_SCHEDULED = 33
"""A schedule puts a dash and eight digits before those, and -tick."""
_LEAST_GRACE_S = 15


@dataclass(frozen=True)
class Needs:
    """What the cluster is for, and of which machines; the defaults are those of the files in clusters/."""

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
    """The storage class of that disk; empty = the node's own ephemeral storage."""
    bucket: str = "my-bucket"
    runs_claim: str = ""
    """A PersistentVolumeClaim that all pods mount (ReadWriteMany) and runs are kept in; empty = in the bucket."""
    spot: bool = True
    verb: Verb = "train"
    experiment: str = ""
    """The experiment's text, which then travels in the file; empty = a ConfigMap that is there."""
    overrides: tuple[str, ...] = ()
    grace_s: int = 120
    """Seconds from the notice that a worker's pod goes until it is killed."""
    deadline_s: int = 86_400
    schedule: str = "0 6 * * *"
    """When a cronjob or raycronjob runs a tick of retraining, in UTC."""

    @property
    def scheduled(self) -> bool:
        """Whether it is `raytl retrain`, again and again."""
        return self.kind in ("cronjob", "raycronjob")

    @property
    def nodes(self) -> int:
        """How many workers: each is a machine."""
        return self.gpus // self.gpus_per_node

    @property
    def drain_s(self) -> int:
        """Seconds that training has for its checkpoint; the rest of the grace is for Ray to end."""
        return self.grace_s * 3 // 4


def checked(needs: Needs) -> Needs:
    """The same needs.

    Raises:
        UserError: what is wrong with them, all of it.
    """
    problems = list(_problems(needs))
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UserError("\n".join([f"the {needs.kind}: {count}", *(f"  {problem}" for problem in problems)]))
    return needs


def binary_bytes(text: str) -> int:
    """Bytes of a quantity such as 512Mi, 32Gi or 2Ti."""
    found = _QUANTITY.fullmatch(text)
    assert found, text
    return int(found[1]) * _BYTES[found[2]]


def quantity(count: int) -> str:
    """So many bytes in the largest unit that holds them whole, in whole Mi at least."""
    mebibytes = count // 2**20
    return f"{mebibytes}Mi" if mebibytes % 1024 else f"{mebibytes // 1024}Gi"


def _problems(needs: Needs) -> Iterator[str]:
    yield from _counts(needs)
    label = "lower-case letters, digits and dashes, a letter first"
    longest_name = _LONGEST_SCHEDULED if needs.scheduled else _LONGEST_NAME
    for key, value, longest in (("name", needs.name, longest_name), ("namespace", needs.namespace, 63)):
        if not _LABEL.fullmatch(value) or len(value) > longest:
            yield f"--{key}: found {value!r}; expected {label}, at most {longest} characters"
    for key, value in (("cache-class", needs.cache_class), ("runs-claim", needs.runs_claim)):
        if value and not _LABEL.fullmatch(value):
            yield f"--{key}: found {value!r}; expected {label}"
    for key, value in (("memory-per-gpu", needs.memory_per_gpu), ("cache", needs.cache)):
        if not _QUANTITY.fullmatch(value):
            yield f"--{key}: found {value!r}; expected a quantity such as 512Mi, 32Gi or 2Ti"
    if not _IMAGE.fullmatch(needs.image) or needs.image.endswith(":latest"):
        yield f"--image: found {needs.image!r}; expected registry/name:tag, with a tag that stays what it is (not latest)"
    if not _BUCKET.fullmatch(needs.bucket):
        yield f"--bucket: found {needs.bucket!r}; expected the bucket's bare name, without s3://"
    yield from _job(needs)


def _counts(needs: Needs) -> Iterator[str]:
    for key, value in (
        ("gpus", needs.gpus),
        ("gpus-per-node", needs.gpus_per_node),
        ("cpus-per-gpu", needs.cpus_per_gpu),
    ):
        if value < 1:
            yield f"--{key}: found {value}; expected 1 or more"
    if needs.gpus >= 1 and needs.gpus_per_node >= 1 and needs.gpus % needs.gpus_per_node:
        yield (
            f"--gpus: found {needs.gpus}, with {needs.gpus_per_node} on each node; expected a multiple of --gpus-per-node, "
            "as every worker is a whole node"
        )
    for key, value, least in (("grace", needs.grace_s, _LEAST_GRACE_S), ("deadline", needs.deadline_s, 60)):
        if value < least:
            yield f"--{key}: found {value} s; expected {least} s or more"


def _job(needs: Needs) -> Iterator[str]:
    for override in needs.overrides:
        if not re.match(r"[a-z_][\w.]*=", override):
            yield f"--set: found {override!r}; expected A.B=VALUE"
        if fault := credentials.first_fault(override, os.environ):
            yield f"--set: {fault}; {credentials.advice(override.partition('=')[0])}"
    if needs.scheduled:
        if not _SCHEDULE.fullmatch(needs.schedule):
            yield f"--schedule: found {needs.schedule!r}; expected five fields, such as '0 6 * * *', or @daily"
        if needs.verb != "train":
            yield f"--verb: a {needs.kind} retrains; leave it out, or ask for --kind rayjob"
        return
    if needs.schedule != Needs.schedule:
        yield f"--schedule: a {needs.kind} has none; leave it out, or ask for --kind cronjob"
    if needs.kind == "raycluster":
        given = [
            ("--experiment", bool(needs.experiment)),
            ("--set", bool(needs.overrides)),
            ("--verb", needs.verb != "train"),
        ]
        for option, was_given in given:
            if was_given:
                yield f"{option}: a raycluster runs what is submitted to it later; leave it out, or ask for --kind rayjob"
    elif needs.verb == "tune" and not needs.runs_claim:
        yield "--verb tune: a sweep on several machines keeps its runs in a folder that all of them mount; name it: --runs-claim"
