"""What starts a RayJob again and again: Kubernetes' CronJob, or KubeRay's RayCronJob."""

from __future__ import annotations

from typing import Any

from raytl.kube.needs import Needs
from raytl.kube.pods import OF_TICK, metadata, starter_pod
from raytl.kube.written import Why, written

MANIFEST = "rayjob.yaml"
_TIME_ZONE = "Etc/UTC"
_LATE_S = 3600
_LAST_WORDS_S = 900
"""What a CronJob's job has beyond the deadline of its RayJob, to see how that ended."""


def starters_rights(needs: Needs) -> list[dict[str, Any]]:
    """The account of the pod that starts RayJobs, and all that it may do: make them and look at them."""
    about = {**metadata(needs), "name": starter(needs)}
    rule = {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}
    subject = {"kind": "ServiceAccount", "name": starter(needs), "namespace": needs.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": starter(needs)}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": about, "rules": [rule]},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "subjects": [subject],
            "roleRef": role,
        },
    ]


def manifest(needs: Needs, job: dict[str, Any]) -> dict[str, Any]:
    """The RayJob of a tick, in a ConfigMap; it goes with the CronJob's job that made it, as the history limits say."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "JOB-NAME", "uid": "JOB-UID"}
    about = {**metadata(needs), "name": f"JOB-NAME{OF_TICK}", "ownerReferences": [owner]}
    text = written({"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": about, "spec": job})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata(needs), "name": f"{needs.name}-rayjob"},
        "data": {MANIFEST: text},
    }


def cron_job(needs: Needs) -> dict[str, Any]:
    """The CronJob: each of its jobs makes one RayJob, named after it, waits for that, and ends as it does."""
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    job = {
        "activeDeadlineSeconds": Why("beyond the RayJob's own, to see how that ends", needs.deadline_s + _LAST_WORDS_S),
        "backoffLimit": Why("a tick that fails is not tried again: the next one goes on from where it stopped", 0),
        "podFailurePolicy": Why(
            "a pod that is moved elsewhere is no failure: the next one finds the RayJob there", {"rules": [evicted]}
        ),
        "template": starter_pod(needs, starter(needs), f"{needs.name}-rayjob", MANIFEST),
    }
    spec = {
        "schedule": needs.schedule,
        "timeZone": _TIME_ZONE,
        "concurrencyPolicy": Why("a tick that is due while another is at work is left out", "Forbid"),
        "startingDeadlineSeconds": Why("one that could not be started for so long is left out too", _LATE_S),
        "successfulJobsHistoryLimit": Why("with each job that is forgotten goes its RayJob", 3),
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": metadata(needs)["labels"]}, "spec": job},
    }
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata(needs), "spec": spec}


def ray_cron_job(needs: Needs, job: dict[str, Any]) -> dict[str, Any]:
    """The RayCronJob: the operator makes the RayJobs, and lets them overlap."""
    spec = {"schedule": needs.schedule, "timeZone": _TIME_ZONE, "jobTemplate": job}
    return {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "metadata": metadata(needs), "spec": spec}


def starter(needs: Needs) -> str:
    """The name of the account that starts RayJobs."""
    return f"{needs.name}-starter"
