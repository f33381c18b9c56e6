"""The manifest file for KubeRay, as a pure function of the cluster spec."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from raytl.kube.cluster_spec import ClusterSpec, binary_bytes, validate
from raytl.kube.commented_yaml import Commented, commented_yaml
from raytl.kube.pods import (
    BUCKET_SECRET,
    EXPERIMENT_FOLDER,
    HEAD_MEMORY,
    RESTRICTED,
    RUNS_FOLDER,
    TOKEN_SECRET,
    guaranteed,
    head_pod,
    labels,
    metadata,
    submitter_pod,
    worker_pod,
)
from raytl.kube.schedule import cron_job, manifest, ray_cron_job, starter_permissions

RAY_VERSION = "2.60.0"
EXPERIMENT_KEY = "experiment.yaml"
_TTL_S = 600
"""How long a finished RayJob is kept for inspection."""
_TICK_TTL_S = 60
"""The same for a scheduled RayJob, shorter because its machines stay for so long."""
_MIN_OBJECT_STORE = 80 * 2**20
"""Ray does not start with fewer than 75 MiB."""
_OPERATOR = {"app.kubernetes.io/name": "kuberay-operator"}


def render(cluster: ClusterSpec) -> str:
    """Return the whole file: a header with instructions, then the objects.

    Raises:
        UserError: the spec is invalid; the text lists all problems.
    """
    validate(cluster)
    documents = [
        _account(cluster),
        _policy(cluster),
        *([_experiment(cluster)] if cluster.experiment else []),
        *_main(cluster),
    ]
    return _header(cluster) + "---\n".join(map(commented_yaml, documents))


def entrypoint(cluster: ClusterSpec) -> str:
    """Return the command that the RayJob runs on its head, the same as on a laptop."""
    words = [
        "python",
        "-m",
        "raytl",
        "retrain" if cluster.scheduled else cluster.verb,
        f"{EXPERIMENT_FOLDER}/{EXPERIMENT_KEY}",
        "--set",
        "compute.cluster=auto",
    ]
    if not cluster.experiment:
        registry = [f"retrain.registry=s3://{cluster.bucket}/models/{cluster.name}"] if cluster.scheduled else []
        for override in settings(cluster, f"data.uri=s3://{cluster.bucket}/data", *registry):
            words += ["--set", override]
    return shlex.join(words)


def settings(cluster: ClusterSpec, *more: str) -> list[str]:
    """Return the experiment's overrides: the runs' location, a worker per GPU, and `more`; explicit overrides win."""
    runs = RUNS_FOLDER if cluster.runs_claim else f"s3://{cluster.bucket}/runs"
    defaults = [*more, f"storage.uri={runs}", *([f"compute.workers={cluster.gpus}"] if cluster.verb == "train" else [])]
    explicit = {override.partition("=")[0] for override in cluster.overrides}
    return [*(default for default in defaults if default.partition("=")[0] not in explicit), *cluster.overrides]


def _main(cluster: ClusterSpec) -> list[dict[str, Any]]:
    """Return the main object and the objects that start it."""
    if cluster.kind == "raycluster":
        return [_cluster(cluster)]
    job = _job_spec(cluster)
    if cluster.kind == "cronjob":
        return [*starter_permissions(cluster), manifest(cluster, job), cron_job(cluster)]
    if cluster.kind == "raycronjob":
        return [ray_cron_job(cluster, job)]
    return [{"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata(cluster), "spec": job}]


def _job_spec(cluster: ClusterSpec) -> dict[str, Any]:
    retries = Commented("if the head is lost, a new cluster resumes from the last checkpoint", 2)
    if cluster.scheduled:
        retries = Commented("a failed tick is not retried: the next one resumes it", 0)
    return {
        "entrypoint": entrypoint(cluster),
        "submissionMode": "K8sJobMode",
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": _TICK_TTL_S if cluster.scheduled else _TTL_S,
        "activeDeadlineSeconds": Commented("total time, including waiting for machines", cluster.deadline_s),
        "backoffLimit": retries,
        "submitterPodTemplate": submitter_pod(cluster),
        "rayClusterSpec": _spec(cluster),
    }


def _cluster(cluster: ClusterSpec) -> dict[str, Any]:
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata(cluster), "spec": _spec(cluster)}


def _spec(cluster: ClusterSpec) -> dict[str, Any]:
    autoscaled = cluster.kind == "raycluster"
    scaling = {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": 300,
            "resources": guaranteed({"cpu": "500m", "memory": "1Gi"}),
            "securityContext": RESTRICTED,
        },
    }
    head = {
        "serviceType": Commented(
            "reachable inside the cluster only; from outside use kubectl port-forward", "ClusterIP"
        ),
        "enableIngress": False,
        "rayStartParams": {"num-cpus": "0", **_object_store(HEAD_MEMORY)},
        "template": head_pod(cluster),
    }
    worker = {
        "groupName": "gpus",
        "replicas": 0 if autoscaled else cluster.nodes,
        "minReplicas": 0 if autoscaled else cluster.nodes,
        "maxReplicas": cluster.nodes,
        "rayStartParams": _object_store(cluster.memory_per_gpu),
        "template": worker_pod(cluster),
    }
    return {
        "rayVersion": RAY_VERSION,
        "authOptions": {"mode": "token", "secretName": TOKEN_SECRET},
        **(scaling if autoscaled else {}),
        "headGroupSpec": head,
        "workerGroupSpecs": [worker],
    }


def _object_store(memory: str) -> dict[str, str]:
    """Return the size of Ray's object store in /dev/shm, small because raytl stores little; data loaders use the rest."""
    return {"object-store-memory": str(max(_MIN_OBJECT_STORE, min(binary_bytes(memory) // 8, 2 * 2**30)))}


def _account(cluster: ClusterSpec) -> dict[str, Any]:
    comment = (
        "A role with access to the bucket only (clusters/aws-iam.yaml, clusters/gcp-iam.sh):\n"
        "eks.amazonaws.com/role-arn: arn:aws:iam::ACCOUNT:role/raytl-worker"
    )
    about = {**metadata(cluster), "annotations": Commented(comment, {})}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about}


def _policy(cluster: ClusterSpec) -> dict[str, Any]:
    """Return the network policy: ingress only from the cluster's pods, and from the operator to the job server; egress is open
    for buckets and weights."""
    own = {"podSelector": {"matchLabels": labels(cluster)}}
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": _OPERATOR}}
    rules = [{"from": [own]}, {"from": [operator], "ports": [{"port": 8265, "protocol": "TCP"}]}]
    spec = {"podSelector": {"matchLabels": labels(cluster)}, "policyTypes": ["Ingress"], "ingress": rules}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(cluster), "spec": spec}


def _experiment(cluster: ClusterSpec) -> dict[str, Any]:
    about = {**metadata(cluster), "name": f"{cluster.name}-experiment"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {EXPERIMENT_KEY: cluster.experiment}}


def command(cluster: ClusterSpec) -> str:
    """Return the command that renders this file."""
    words = ["raytl", "cluster", "render", "kuberay"]
    for field in fields(cluster):
        value = getattr(cluster, field.name)
        if value == field.default:
            continue
        if field.name == "spot":
            words.append("--on-demand")
        elif field.name == "overrides":
            words += [word for override in value for word in ("--set", override)]
        else:
            option = "--" + field.name.removesuffix("_s").replace("_", "-")
            words += [option, "FILE" if field.name == "experiment" else str(value)]
    return shlex.join(words)


def _header(cluster: ClusterSpec) -> str:
    name, space = cluster.name, cluster.namespace
    file = f"clusters/kuberay-{cluster.kind}.yaml" if cluster == ClusterSpec(kind=cluster.kind) else "FILE"
    machines = f"{cluster.nodes} worker{'s' if cluster.nodes > 1 else ''} with {cluster.gpus_per_node} GPUs each"
    lines = [
        f"{'Scheduled retraining on ' if cluster.scheduled else ''}{machines}, "
        f"{'spot' if cluster.spot else 'on demand'}, for KubeRay 1.6 or newer. Usage:",
        "",
        f"  kubectl create namespace {space}",
        "  ray get-auth-token --generate | tr -d '\\n' | kubectl create secret generic "
        f"{TOKEN_SECRET} -n {space} --from-file=auth_token=/dev/stdin",
    ]
    if cluster.kind != "raycluster" and not cluster.experiment:
        lines.append(
            f"  kubectl create configmap {name}-experiment -n {space} --from-file={EXPERIMENT_KEY}=experiments/trash-mobilenetv2.yaml"
        )
    lines += [
        f"  kubectl apply -f {file}",
        *_next_steps(cluster),
        "",
        f"To change: {'schedule, ' if cluster.scheduled else ''}image, bucket and the service account's role; instead of a role, a "
        f"Secret {BUCKET_SECRET} may hold the bucket's credentials.",
        "The token and credentials belong in Secrets, never in this file. For another cluster, change the options of:",
        "",
        f"  {command(cluster)}",
    ]
    # the value of an override may have several lines
    return "".join(f"# {line}".rstrip() + "\n" for text in lines for line in text.splitlines() or [""])


def _next_steps(cluster: ClusterSpec) -> list[str]:
    """Return the commands and notes for after the file is applied."""
    name, space = cluster.name, cluster.namespace
    notes = [
        "",
        "A tick exits with 0 if it promoted, kept, rejected or skipped, or if another one runs; with 1 if it failed, which leaves",
        "the champion unchanged. Each tick starts all its machines, even if it then skips.",
    ]
    if cluster.kind == "rayjob":
        return [f"  kubectl logs -n {space} -l job-name={name} --follow"]
    if cluster.kind == "cronjob":
        return [
            f"  kubectl create job -n {space} --from=cronjob/{name} {name}-now",
            f"  kubectl logs -n {space} job/{name}-now --follow",
            f"  kubectl logs -n {space} -l job-name={name}-now-tick --follow",
            *notes,
            "The CronJob's job has the result of its RayJob, so failed ticks are failed jobs.",
        ]
    if cluster.kind == "raycronjob":
        return [
            f"  kubectl get rayjobs -n {space}",
            *notes,
            "RayCronJob is alpha: run the operator with --feature-gates=RayCronJob=true. Ticks may overlap (the second one exits), and",
            "every RayJob stays until it is deleted by hand; kuberay-cronjob.yaml avoids both.",
        ]
    return [
        f"  kubectl exec -n {space} svc/{name}-head-svc -c ray-head -- raytl cluster ask --gpus {cluster.gpus}",
        f"  kubectl port-forward -n {space} svc/{name}-head-svc 8265",
        "  raytl submit train experiments/trash-mobilenetv2.yaml --address http://127.0.0.1:8265 --code image --set ...",
    ]
