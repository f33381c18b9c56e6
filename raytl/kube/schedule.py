"""Scheduled RayJobs: a Kubernetes CronJob or a KubeRay RayCronJob."""

from __future__ import annotations

from typing import Any

from raytl.kube.cluster_spec import ClusterSpec
from raytl.kube.commented_yaml import Commented, commented_yaml
from raytl.kube.pods import TICK_SUFFIX, metadata, starter_pod

MANIFEST = "rayjob.yaml"
_TIME_ZONE = "Etc/UTC"
_MAX_DELAY_S = 3600
_EXTRA_S = 900
"""Extra time of a CronJob's job beyond the deadline of its RayJob, to see its result."""


def starter_permissions(cluster: ClusterSpec) -> list[dict[str, Any]]:
    """Return the service account of the pod that starts RayJobs, with permission to create and read them only."""
    about = {**metadata(cluster), "name": starter(cluster)}
    rule = {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}
    subject = {"kind": "ServiceAccount", "name": starter(cluster), "namespace": cluster.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": starter(cluster)}
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


def manifest(cluster: ClusterSpec, job: dict[str, Any]) -> dict[str, Any]:
    """Return a tick's RayJob in a ConfigMap; it is deleted with the CronJob's job that created it (history limits)."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "JOB-NAME", "uid": "JOB-UID"}
    about = {**metadata(cluster), "name": f"JOB-NAME{TICK_SUFFIX}", "ownerReferences": [owner]}
    text = commented_yaml({"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": about, "spec": job})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata(cluster), "name": f"{cluster.name}-rayjob"},
        "data": {MANIFEST: text},
    }


def cron_job(cluster: ClusterSpec) -> dict[str, Any]:
    """Return the CronJob: each of its jobs creates one RayJob with its name, waits for it, and exits with its result."""
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    job = {
        "activeDeadlineSeconds": Commented(
            "longer than the RayJob's, to see its result", cluster.deadline_s + _EXTRA_S
        ),
        "backoffLimit": Commented("a failed tick is not retried: the next one resumes it", 0),
        "podFailurePolicy": Commented(
            "a rescheduled pod is not a failure: the next pod finds the RayJob", {"rules": [evicted]}
        ),
        "template": starter_pod(cluster, starter(cluster), f"{cluster.name}-rayjob", MANIFEST),
    }
    spec = {
        "schedule": cluster.schedule,
        "timeZone": _TIME_ZONE,
        "concurrencyPolicy": Commented("skip a tick while the previous one runs", "Forbid"),
        "startingDeadlineSeconds": Commented("skip a tick that could not start for so long", _MAX_DELAY_S),
        "successfulJobsHistoryLimit": Commented("a job that is deleted takes its RayJob with it", 3),
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": metadata(cluster)["labels"]}, "spec": job},
    }
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata(cluster), "spec": spec}


def ray_cron_job(cluster: ClusterSpec, job: dict[str, Any]) -> dict[str, Any]:
    """Return the RayCronJob: the operator creates the RayJobs, which may overlap."""
    spec = {"schedule": cluster.schedule, "timeZone": _TIME_ZONE, "jobTemplate": job}
    return {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "metadata": metadata(cluster), "spec": spec}


def starter(cluster: ClusterSpec) -> str:
    """Return the name of the service account that starts RayJobs."""
    return f"{cluster.name}-starter"
