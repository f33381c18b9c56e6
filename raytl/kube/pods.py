"""The pods of head and workers: scheduling, permissions, and the drain of a preempted worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raytl.kube.cluster_spec import ClusterSpec, binary_bytes, quantity
from raytl.kube.commented_yaml import Commented

EXPERIMENT_FOLDER = "/etc/raytl"
RUNS_FOLDER = "/mnt/runs"
TOKEN_SECRET = "raytl-token"  # noqa: S105 - the name of a Secret
BUCKET_SECRET = "raytl-bucket"  # noqa: S105 - the name of a Secret

HEAD_CPUS, HEAD_MEMORY, RAY_DISK = 4, "16Gi", "20Gi"
_SPOT_LABELS = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_LD_PRELOAD_ON_WORKERS": "1",
    "RAY_worker_niceness": "0",
    # preStop has drained the node before it receives SIGTERM
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAYTL_CACHE": "/cache",
    "HF_HOME": "/cache/huggingface",
}
"""Set before `ray start`, because raylets pass it on; reasons: raytl/cluster/session.py."""

_DO_NOT_DISRUPT = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}

TICK_SUFFIX = "-tick"
"""Appended to the name of a CronJob's job for its RayJob, because KubeRay creates a job with the RayJob's name."""
START = r"""set -euo pipefail
jobs=$API/apis/ray.io/v1/namespaces/$NAMESPACE/rayjobs rayjob=$JOB_NAME-tick
request() { # read the token each time, because Kubernetes rotates it
  curl --silent --show-error --max-time 60 --retry 8 --retry-connrefused --cacert "$ACCOUNT/ca.crt" \
    --header @<(printf 'Authorization: Bearer %s' "$(< "$ACCOUNT/token")") "$@"
}
answer=$(mktemp)
code=$(sed "s/JOB-NAME/$JOB_NAME/; s/JOB-UID/$JOB_UID/" "$MANIFEST" |
  request --output "$answer" --write-out '%{http_code}' --header 'Content-Type: application/yaml' --data-binary @- "$jobs")
case $code in
  201) echo "rayjob/$rayjob created" ;;
  409) echo "rayjob/$rayjob exists: another pod of this job created it" ;;
  *) cat "$answer" >&2 && exit 1 ;;
esac
parse='import json, sys; s = json.load(sys.stdin).get("status", {}); print(s.get("jobDeploymentStatus"), s.get("jobStatus"))'
last=
while true; do
  status=$(request --fail "$jobs/$rayjob" | python -c "$parse")
  [ "$status" = "$last" ] || echo "rayjob/$rayjob: $status"
  last=$status
  case $status in
    "Complete SUCCEEDED") exit 0 ;;
    Complete* | *Failed*) exit 1 ;;
  esac
  sleep "$POLL_S"
done
"""
"""Create a RayJob through the Kubernetes API, wait for it, and exit with its result."""

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
UNPRIVILEGED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labels(cluster: ClusterSpec) -> dict[str, str]:
    """Return the labels by which the network policy selects the pods of this cluster."""
    return {"app.kubernetes.io/name": "raytl", "app.kubernetes.io/instance": cluster.name}


def metadata(cluster: ClusterSpec) -> dict[str, Any]:
    """Return the name, namespace and labels of an object of this cluster."""
    return {"name": cluster.name, "namespace": cluster.namespace, "labels": labels(cluster)}


def guaranteed(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return requests equal to limits: Kubernetes evicts such pods (QoS class Guaranteed) last."""
    return {"requests": dict(resources), "limits": dict(resources)}


def head_pod(cluster: ClusterSpec) -> dict[str, Any]:
    """Return the head, on demand: it runs the job's driver and no trials or workers."""
    resources = {"cpu": str(HEAD_CPUS), "memory": HEAD_MEMORY, **_disk(cluster)}
    container = _container(cluster, "ray-head", resources)
    container["ports"] = [
        {"containerPort": 6379, "name": "gcs-server"},
        {"containerPort": 8265, "name": "dashboard"},
    ]
    spec = _spec(cluster, container, HEAD_MEMORY)
    # the autoscaler beside the head requests pods from Kubernetes
    spec["automountServiceAccountToken"] = cluster.kind == "raycluster"
    spec["affinity"] = Commented("on demand only: losing the head means losing the cluster", _on_demand())
    spec["terminationGracePeriodSeconds"] = 30
    if cluster.kind != "raycluster":
        container["volumeMounts"].append({"name": "experiment", "mountPath": EXPERIMENT_FOLDER, "readOnly": True})
        spec["volumes"].append({"name": "experiment", "configMap": {"name": f"{cluster.name}-experiment"}})
    return _template(cluster, spec, do_not_disrupt=True)


def worker_pod(cluster: ClusterSpec) -> dict[str, Any]:
    """Return a worker with all GPUs of a node, on a spot machine if requested."""
    memory = quantity(binary_bytes(cluster.memory_per_gpu) * cluster.gpus_per_node)
    resources = {
        "cpu": str(cluster.cpus_per_gpu * cluster.gpus_per_node),
        "memory": memory,
        "nvidia.com/gpu": str(cluster.gpus_per_node),
        **_disk(cluster),
    }
    container = _container(cluster, "ray-worker", resources)
    container["lifecycle"] = {
        "preStop": Commented(
            "On eviction, drain the Ray node first: training saves a checkpoint and moves. An idle node then stops by itself.",
            {"exec": {"command": ["/bin/bash", "-c", _drain(cluster)]}},
        )
    }
    spec = _spec(cluster, container, memory)
    spec["automountServiceAccountToken"] = False
    spec["affinity"] = _spot() if cluster.spot else _on_demand()
    spec["tolerations"] = _tolerations(cluster)
    spec["terminationGracePeriodSeconds"] = Commented(
        f"{cluster.drain_s} s for the checkpoint, the rest for Ray to shut down. Spot notice: 120 s on AWS, 30 s on Azure, about\n"
        "15 s on Google Cloud; set it with raytl cluster render kuberay --grace.",
        cluster.grace_s,
    )
    return _template(cluster, spec, do_not_disrupt=not cluster.spot)


def submitter_pod(cluster: ClusterSpec) -> dict[str, Any]:
    """Return the pod that submits a RayJob's entrypoint and prints its output."""
    container = {
        "name": "ray-job-submitter",
        "image": cluster.image,
        "env": [{"name": "RAY_AUTH_MODE", "value": "token"}, _token()],
        "resources": guaranteed({"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"}),
        "securityContext": RESTRICTED,
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": UNPRIVILEGED,
        "affinity": _on_demand(),
        "containers": [container],
    }
    return _template(cluster, spec, do_not_disrupt=True)


def starter_pod(cluster: ClusterSpec, account: str, config: str, manifest: str) -> dict[str, Any]:
    """Return the pod that creates the RayJob in `manifest` of the ConfigMap `config` and exits with its result."""
    from_labels = {"JOB_NAME": "batch.kubernetes.io/job-name", "JOB_UID": "batch.kubernetes.io/controller-uid"}
    variables = {
        "API": "https://kubernetes.default.svc",
        "ACCOUNT": "/var/run/secrets/kubernetes.io/serviceaccount",
        "NAMESPACE": cluster.namespace,
        "MANIFEST": f"{EXPERIMENT_FOLDER}/{manifest}",
        "POLL_S": "15",
    }
    container = {
        "name": "starter",
        "image": cluster.image,
        "command": ["/bin/bash", "-c", START],
        "env": [
            *({"name": key, "value": value} for key, value in variables.items()),
            *(
                {"name": key, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}
                for key, label in from_labels.items()
            ),
        ],
        "resources": guaranteed({"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "100Mi"}),
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "manifest", "mountPath": EXPERIMENT_FOLDER, "readOnly": True}],
    }
    spec = {
        "serviceAccountName": account,
        "restartPolicy": "Never",
        "securityContext": UNPRIVILEGED,
        "affinity": _on_demand(),
        "containers": [container],
        "volumes": [{"name": "manifest", "configMap": {"name": config}}],
    }
    return _template(cluster, spec, do_not_disrupt=True)


def _template(cluster: ClusterSpec, spec: dict[str, Any], do_not_disrupt: bool) -> dict[str, Any]:
    """Return the pod template; `do_not_disrupt` keeps autoscalers from consolidating it, but delays a spot machine's drain."""
    metadata: dict[str, Any] = {"labels": labels(cluster)}
    if do_not_disrupt:
        metadata["annotations"] = _DO_NOT_DISRUPT
    return {"metadata": metadata, "spec": spec}


def _container(cluster: ClusterSpec, name: str, resources: dict[str, str]) -> dict[str, Any]:
    shm = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - private to the pod
    mounts = [shm, {"name": "cache", "mountPath": "/cache"}]
    if cluster.runs_claim:
        mounts.append({"name": "runs", "mountPath": RUNS_FOLDER})
    return {
        "name": name,
        "image": cluster.image,
        "env": [*({"name": key, "value": value} for key, value in _ENVIRONMENT.items()), _token()],
        "envFrom": Commented(
            "Bucket credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL), if the\n"
            "service account has no role.",
            [{"secretRef": {"name": BUCKET_SECRET, "optional": True}}],
        ),
        "resources": guaranteed(resources),
        "securityContext": RESTRICTED,
        "volumeMounts": mounts,
    }


def _spec(cluster: ClusterSpec, container: dict[str, Any], memory: str) -> dict[str, Any]:
    shared = quantity(binary_bytes(memory) // 4)
    volumes = [
        {
            "name": "shm",
            "emptyDir": Commented("counts toward the pod's memory", {"medium": "Memory", "sizeLimit": shared}),
        },
        {"name": "cache", **_cache(cluster)},
    ]
    if cluster.runs_claim:
        volumes.append({"name": "runs", "persistentVolumeClaim": {"claimName": cluster.runs_claim}})
    return {
        "serviceAccountName": cluster.name,
        "securityContext": UNPRIVILEGED,
        "containers": [container],
        "volumes": volumes,
    }


def _token() -> dict[str, Any]:
    return {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": TOKEN_SECRET, "key": "auth_token"}}}


def _cache(cluster: ClusterSpec) -> dict[str, Any]:
    """Return the node-local disk, which is deleted with the pod."""
    if not cluster.cache_class:
        reason = (
            "The node's ephemeral storage, which must be its NVMe: instanceStorePolicy: RAID0 on EKS,\n"
            "--ephemeral-storage-local-ssd on GKE. Or use --cache-class with a storage class of local disks."
        )
        return {"emptyDir": Commented(reason, {"sizeLimit": cluster.cache})}
    volume_claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": cluster.cache_class,
        "resources": {"requests": {"storage": cluster.cache}},
    }
    return {"ephemeral": {"volumeClaimTemplate": {"spec": volume_claim}}}


def _disk(cluster: ClusterSpec) -> dict[str, str]:
    """Return the pod's ephemeral storage: Ray's logs and spilled objects, and the cache unless it has a storage class."""
    cache = 0 if cluster.cache_class else binary_bytes(cluster.cache)
    return {"ephemeral-storage": quantity(cache + binary_bytes(RAY_DISK))}


def _drain(cluster: ClusterSpec) -> str:
    return (
        "ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'the pod is being evicted'"
        f" --deadline-remaining-seconds {cluster.drain_s}\n"
        f"while pgrep -x raylet >/dev/null && (( SECONDS < {cluster.drain_s} )); do sleep 1; done\n"
    )


def _on_demand() -> dict[str, Any]:
    never = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in _SPOT_LABELS.items()]
    terms = {"nodeSelectorTerms": [{"matchExpressions": never}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _spot() -> dict[str, Any]:
    preferred = [
        {"weight": 100, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}}
        for key, value in _SPOT_LABELS.items()
    ]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _tolerations(cluster: ClusterSpec) -> list[dict[str, str]]:
    keys = ["nvidia.com/gpu", *(_SPOT_LABELS if cluster.spot else ())]
    return [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in keys]
