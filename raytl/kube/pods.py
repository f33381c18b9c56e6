"""The pods of head and workers: where they may lie, what they may do, and how a worker leaves that is taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raytl.kube.needs import Needs, binary_bytes, quantity
from raytl.kube.written import Why

EXPERIMENT_FOLDER = "/etc/raytl"
RUNS_FOLDER = "/mnt/runs"
TOKEN_SECRET = "raytl-token"  # noqa: S105 - the name of a Secret
BUCKET_SECRET = "raytl-bucket"  # noqa: S105 - the name of a Secret

HEAD_CPUS, HEAD_MEMORY, SCRATCH = 4, "16Gi", "20Gi"
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
    # preStop has drained the node before it is told to end
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAYTL_CACHE": "/cache",
    "HF_HOME": "/cache/huggingface",
}
"""Before `ray start`: raylets hand it on. Why each: raytl/cluster/session.py."""

_STAYS = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}

OF_TICK = "-tick"
"""Behind the name of a CronJob's job that of its RayJob: KubeRay makes a job of the RayJob's own name."""
START = r"""set -euo pipefail
jobs=$API/apis/ray.io/v1/namespaces/$NAMESPACE/rayjobs rayjob=$JOB_NAME-tick
ask() { # the token is read each time, as Kubernetes renews it
  curl --silent --show-error --max-time 60 --retry 8 --retry-connrefused --cacert "$ACCOUNT/ca.crt" \
    --header @<(printf 'Authorization: Bearer %s' "$(< "$ACCOUNT/token")") "$@"
}
answer=$(mktemp)
code=$(sed "s/JOB-NAME/$JOB_NAME/; s/JOB-UID/$JOB_UID/" "$MANIFEST" |
  ask --output "$answer" --write-out '%{http_code}' --header 'Content-Type: application/yaml' --data-binary @- "$jobs")
case $code in
  201) echo "rayjob/$rayjob is made" ;;
  409) echo "rayjob/$rayjob is there: another pod of this job made it" ;;
  *) cat "$answer" >&2 && exit 1 ;;
esac
look='import json, sys; s = json.load(sys.stdin).get("status", {}); print(s.get("jobDeploymentStatus"), s.get("jobStatus"))'
said=
while true; do
  status=$(ask --fail "$jobs/$rayjob" | python -c "$look")
  [ "$status" = "$said" ] || echo "rayjob/$rayjob: $status"
  said=$status
  case $status in
    "Complete SUCCEEDED") exit 0 ;;
    Complete* | *Failed*) exit 1 ;;
  esac
  sleep "$EVERY_S"
done
"""
"""Makes a RayJob by Kubernetes' API, waits for its end, and ends as it does."""

LOCKED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
UNPRIVILEGED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labels(needs: Needs) -> dict[str, str]:
    """The labels by which the network policy knows the pods of this cluster."""
    return {"app.kubernetes.io/name": "raytl", "app.kubernetes.io/instance": needs.name}


def metadata(needs: Needs) -> dict[str, Any]:
    """The name, namespace and labels of what belongs to this cluster."""
    return {"name": needs.name, "namespace": needs.namespace, "labels": labels(needs)}


def equal(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Requests that equal their limits: such a pod is the last that a node under pressure evicts."""
    return {"requests": dict(resources), "limits": dict(resources)}


def head_pod(needs: Needs) -> dict[str, Any]:
    """The head, on demand: it holds the job, and no trial or worker."""
    resources = {"cpu": str(HEAD_CPUS), "memory": HEAD_MEMORY, **_disk(needs)}
    container = _container(needs, "ray-head", resources)
    container["ports"] = [
        {"containerPort": 6379, "name": "gcs-server"},
        {"containerPort": 8265, "name": "dashboard"},
    ]
    spec = _spec(needs, container, HEAD_MEMORY)
    # with an autoscaler beside it, KubeRay lets the head ask Kubernetes for pods
    spec["automountServiceAccountToken"] = needs.kind == "raycluster"
    spec["affinity"] = Why("never on a machine that can be taken away: the cluster is gone with its head", _on_demand())
    spec["terminationGracePeriodSeconds"] = 30
    if needs.kind != "raycluster":
        container["volumeMounts"].append({"name": "experiment", "mountPath": EXPERIMENT_FOLDER, "readOnly": True})
        spec["volumes"].append({"name": "experiment", "configMap": {"name": f"{needs.name}-experiment"}})
    return _template(needs, spec, stays=True)


def worker_pod(needs: Needs) -> dict[str, Any]:
    """A worker: a whole node's GPUs, on a machine that may be taken away if that is wanted."""
    memory = quantity(binary_bytes(needs.memory_per_gpu) * needs.gpus_per_node)
    resources = {
        "cpu": str(needs.cpus_per_gpu * needs.gpus_per_node),
        "memory": memory,
        "nvidia.com/gpu": str(needs.gpus_per_node),
        **_disk(needs),
    }
    container = _container(needs, "ray-worker", resources)
    container["lifecycle"] = {
        "preStop": Why(
            "Kubernetes says first that the pod goes: Ray tells training, which moves away. What is idle then ends by itself.",
            {"exec": {"command": ["/bin/bash", "-c", _drain(needs)]}},
        )
    }
    spec = _spec(needs, container, memory)
    spec["automountServiceAccountToken"] = False
    spec["affinity"] = _spot() if needs.spot else _on_demand()
    spec["tolerations"] = _tolerations(needs)
    spec["terminationGracePeriodSeconds"] = Why(
        f"{needs.drain_s} s for the checkpoint, the rest for Ray to end. Spot machines give 120 s on AWS, 30 s on Azure, and\n"
        "15 s or so on Google Cloud: raytl cluster render kuberay --grace says it.",
        needs.grace_s,
    )
    return _template(needs, spec, stays=not needs.spot)


def submitter_pod(needs: Needs) -> dict[str, Any]:
    """The pod that submits a RayJob's entrypoint, and shows what it says."""
    container = {
        "name": "ray-job-submitter",
        "image": needs.image,
        "env": [{"name": "RAY_AUTH_MODE", "value": "token"}, _token()],
        "resources": equal({"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"}),
        "securityContext": LOCKED,
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": UNPRIVILEGED,
        "affinity": _on_demand(),
        "containers": [container],
    }
    return _template(needs, spec, stays=True)


def starter_pod(needs: Needs, account: str, config: str, manifest: str) -> dict[str, Any]:
    """The pod that makes the RayJob which `manifest` of the ConfigMap `config` describes, and ends as it does."""
    of_job = {"JOB_NAME": "batch.kubernetes.io/job-name", "JOB_UID": "batch.kubernetes.io/controller-uid"}
    given = {
        "API": "https://kubernetes.default.svc",
        "ACCOUNT": "/var/run/secrets/kubernetes.io/serviceaccount",
        "NAMESPACE": needs.namespace,
        "MANIFEST": f"{EXPERIMENT_FOLDER}/{manifest}",
        "EVERY_S": "15",
    }
    container = {
        "name": "starter",
        "image": needs.image,
        "command": ["/bin/bash", "-c", START],
        "env": [
            *({"name": key, "value": value} for key, value in given.items()),
            *(
                {"name": key, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}
                for key, label in of_job.items()
            ),
        ],
        "resources": equal({"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "100Mi"}),
        "securityContext": LOCKED,
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
    return _template(needs, spec, stays=True)


def _template(needs: Needs, spec: dict[str, Any], stays: bool) -> dict[str, Any]:
    """`stays` keeps autoscalers from moving it for a fuller node; on spot machines that would delay its drain too."""
    metadata: dict[str, Any] = {"labels": labels(needs)}
    if stays:
        metadata["annotations"] = _STAYS
    return {"metadata": metadata, "spec": spec}


def _container(needs: Needs, name: str, resources: dict[str, str]) -> dict[str, Any]:
    shm = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - of the pod alone
    mounts = [shm, {"name": "cache", "mountPath": "/cache"}]
    if needs.runs_claim:
        mounts.append({"name": "runs", "mountPath": RUNS_FOLDER})
    return {
        "name": name,
        "image": needs.image,
        "env": [*({"name": key, "value": value} for key, value in _ENVIRONMENT.items()), _token()],
        "envFrom": Why(
            "Keys of the bucket (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL), where\n"
            "the service account brings no role.",
            [{"secretRef": {"name": BUCKET_SECRET, "optional": True}}],
        ),
        "resources": equal(resources),
        "securityContext": LOCKED,
        "volumeMounts": mounts,
    }


def _spec(needs: Needs, container: dict[str, Any], memory: str) -> dict[str, Any]:
    shared = quantity(binary_bytes(memory) // 4)
    volumes = [
        {"name": "shm", "emptyDir": Why("counts as the pod's memory", {"medium": "Memory", "sizeLimit": shared})},
        {"name": "cache", **_cache(needs)},
    ]
    if needs.runs_claim:
        volumes.append({"name": "runs", "persistentVolumeClaim": {"claimName": needs.runs_claim}})
    return {
        "serviceAccountName": needs.name,
        "securityContext": UNPRIVILEGED,
        "containers": [container],
        "volumes": volumes,
    }


def _token() -> dict[str, Any]:
    return {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": TOKEN_SECRET, "key": "auth_token"}}}


def _cache(needs: Needs) -> dict[str, Any]:
    """The node-local disk, gone with the pod."""
    if not needs.cache_class:
        reason = (
            "The node's ephemeral storage, which has to be its NVMe: instanceStorePolicy: RAID0 on EKS,\n"
            "--ephemeral-storage-local-ssd on GKE; or --cache-class names a storage class of local disks."
        )
        return {"emptyDir": Why(reason, {"sizeLimit": needs.cache})}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": needs.cache_class,
        "resources": {"requests": {"storage": needs.cache}},
    }
    return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}


def _disk(needs: Needs) -> dict[str, str]:
    """What the pod takes of the node's ephemeral storage: Ray's logs and spills, and the cache where it lies there."""
    cache = 0 if needs.cache_class else binary_bytes(needs.cache)
    return {"ephemeral-storage": quantity(cache + binary_bytes(SCRATCH))}


def _drain(needs: Needs) -> str:
    return (
        "ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'the pod is taken away'"
        f" --deadline-remaining-seconds {needs.drain_s}\n"
        f"while pgrep -x raylet >/dev/null && (( SECONDS < {needs.drain_s} )); do sleep 1; done\n"
    )


def _on_demand() -> dict[str, Any]:
    never = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in _SPOT_LABELS.items()]
    terms = {"nodeSelectorTerms": [{"matchExpressions": never}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _spot() -> dict[str, Any]:
    liked = [
        {"weight": 100, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}}
        for key, value in _SPOT_LABELS.items()
    ]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": liked}}


def _tolerations(needs: Needs) -> list[dict[str, str]]:
    keys = ["nvidia.com/gpu", *(_SPOT_LABELS if needs.spot else ())]
    return [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in keys]
