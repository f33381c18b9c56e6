"""The file that KubeRay starts a cluster from, as a pure function of what is needed."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from raytl.kube.needs import Needs, binary_bytes, checked
from raytl.kube.pods import (
    BUCKET_SECRET,
    EXPERIMENT_FOLDER,
    HEAD_MEMORY,
    LOCKED,
    RUNS_FOLDER,
    TOKEN_SECRET,
    equal,
    head_pod,
    labels,
    metadata,
    submitter_pod,
    worker_pod,
)
from raytl.kube.schedule import cron_job, manifest, ray_cron_job, starters_rights
from raytl.kube.written import Why, written

RAY_VERSION = "2.60.0"
EXPERIMENT_KEY = "experiment.yaml"
_KEPT_S = 600
"""How long an ended RayJob can still be looked at."""
_KEPT_TICK_S = 60
"""The same of what comes again and again, as its machines stay for so long."""
_OPERATOR = {"app.kubernetes.io/name": "kuberay-operator"}


def render(needs: Needs) -> str:
    """The whole file: how to use it, and then the objects.

    Raises:
        UserError: what is wrong with the needs, all of it.
    """
    checked(needs)
    documents = [_account(needs), _policy(needs), *([_experiment(needs)] if needs.experiment else []), *_main(needs)]
    return _header(needs) + "---\n".join(map(written, documents))


def entrypoint(needs: Needs) -> str:
    """What the RayJob runs on its head: the words of a laptop."""
    words = [
        "python",
        "-m",
        "raytl",
        "retrain" if needs.scheduled else needs.verb,
        f"{EXPERIMENT_FOLDER}/{EXPERIMENT_KEY}",
        "--set",
        "compute.cluster=auto",
    ]
    if not needs.experiment:
        registry = [f"retrain.registry=s3://{needs.bucket}/models/{needs.name}"] if needs.scheduled else []
        for one in settings(needs, f"data.uri=s3://{needs.bucket}/data", *registry):
            words += ["--set", one]
    return shlex.join(words)


def settings(needs: Needs, *more: str) -> list[str]:
    """The overrides of the experiment: where runs are kept, a worker for each GPU, `more`; those that were given win."""
    runs = RUNS_FOLDER if needs.runs_claim else f"s3://{needs.bucket}/runs"
    made = [*more, f"storage.uri={runs}", *([f"compute.workers={needs.gpus}"] if needs.verb == "train" else [])]
    given = {one.partition("=")[0] for one in needs.overrides}
    return [*(one for one in made if one.partition("=")[0] not in given), *needs.overrides]


def _main(needs: Needs) -> list[dict[str, Any]]:
    """What runs, with what it takes to start it."""
    if needs.kind == "raycluster":
        return [_cluster(needs)]
    job = _job_spec(needs)
    if needs.kind == "cronjob":
        return [*starters_rights(needs), manifest(needs, job), cron_job(needs)]
    if needs.kind == "raycronjob":
        return [ray_cron_job(needs, job)]
    return [{"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata(needs), "spec": job}]


def _job_spec(needs: Needs) -> dict[str, Any]:
    tries = Why("a lost head costs a new cluster, where the same words go on from the last checkpoint", 2)
    if needs.scheduled:
        tries = Why("a tick that fails is not tried again: the next one goes on from where it stopped", 0)
    return {
        "entrypoint": entrypoint(needs),
        "submissionMode": "K8sJobMode",
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": _KEPT_TICK_S if needs.scheduled else _KEPT_S,
        "activeDeadlineSeconds": Why("the whole of it, waiting for machines too", needs.deadline_s),
        "backoffLimit": tries,
        "submitterPodTemplate": submitter_pod(needs),
        "rayClusterSpec": _spec(needs),
    }


def _cluster(needs: Needs) -> dict[str, Any]:
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata(needs), "spec": _spec(needs)}


def _spec(needs: Needs) -> dict[str, Any]:
    grows = needs.kind == "raycluster"
    scaling = {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": 300,
            "resources": equal({"cpu": "500m", "memory": "1Gi"}),
            "securityContext": LOCKED,
        },
    }
    head = {
        "serviceType": Why("inside the cluster only: kubectl port-forward reaches it", "ClusterIP"),
        "enableIngress": False,
        "rayStartParams": {"num-cpus": "0", **_store(HEAD_MEMORY)},
        "template": head_pod(needs),
    }
    worker = {
        "groupName": "gpus",
        "replicas": 0 if grows else needs.nodes,
        "minReplicas": 0 if grows else needs.nodes,
        "maxReplicas": needs.nodes,
        "rayStartParams": _store(needs.memory_per_gpu),
        "template": worker_pod(needs),
    }
    return {
        "rayVersion": RAY_VERSION,
        "authOptions": {"mode": "token", "secretName": TOKEN_SECRET},
        **(scaling if grows else {}),
        "headGroupSpec": head,
        "workerGroupSpecs": [worker],
    }


def _store(memory: str) -> dict[str, str]:
    """Ray's object store in /dev/shm, which raytl puts little into: loaders share the rest of it."""
    return {"object-store-memory": str(min(binary_bytes(memory) // 8, 2 * 2**30))}


def _account(needs: Needs) -> dict[str, Any]:
    role = (
        "The role that may use the bucket, and nothing else (clusters/aws-iam.yaml, clusters/gcp-iam.sh):\n"
        "eks.amazonaws.com/role-arn: arn:aws:iam::ACCOUNT:role/raytl-worker"
    )
    about = {**metadata(needs), "annotations": Why(role, {})}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about}


def _policy(needs: Needs) -> dict[str, Any]:
    """Only the cluster's own pods reach them, and the operator the job server; outwards all is open, for buckets and weights."""
    own = {"podSelector": {"matchLabels": labels(needs)}}
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": _OPERATOR}}
    rules = [{"from": [own]}, {"from": [operator], "ports": [{"port": 8265, "protocol": "TCP"}]}]
    spec = {"podSelector": {"matchLabels": labels(needs)}, "policyTypes": ["Ingress"], "ingress": rules}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(needs), "spec": spec}


def _experiment(needs: Needs) -> dict[str, Any]:
    about = {**metadata(needs), "name": f"{needs.name}-experiment"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {EXPERIMENT_KEY: needs.experiment}}


def command(needs: Needs) -> str:
    """The command that writes the file of these needs."""
    words = ["raytl", "cluster", "render", "kuberay"]
    for field in fields(needs):
        value = getattr(needs, field.name)
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


def _header(needs: Needs) -> str:
    name, space = needs.name, needs.namespace
    file = f"clusters/kuberay-{needs.kind}.yaml" if needs == Needs(kind=needs.kind) else "FILE"
    machines = f"{needs.nodes} worker{'s' if needs.nodes > 1 else ''} with {needs.gpus_per_node} GPUs each"
    lines = [
        f"{'A tick of retraining whenever it is due, on ' if needs.scheduled else ''}{machines}, "
        f"{'spot' if needs.spot else 'on demand'}, for KubeRay 1.6 or newer. To use it:",
        "",
        f"  kubectl create namespace {space}",
        "  ray get-auth-token --generate | tr -d '\\n' | kubectl create secret generic "
        f"{TOKEN_SECRET} -n {space} --from-file=auth_token=/dev/stdin",
    ]
    if needs.kind != "raycluster" and not needs.experiment:
        lines.append(
            f"  kubectl create configmap {name}-experiment -n {space} --from-file={EXPERIMENT_KEY}=experiments/trash-mobilenetv2.yaml"
        )
    lines += [
        f"  kubectl apply -f {file}",
        *_then(needs),
        "",
        f"To change: {'schedule, ' if needs.scheduled else ''}image, bucket and the service account's role, or instead of the "
        f"role a Secret {BUCKET_SECRET} with the bucket's keys.",
        "The token and keys are in Secrets and never in this file. Other needs are another file; this one was written by:",
        "",
        f"  {command(needs)}",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _then(needs: Needs) -> list[str]:
    """What is done with it once it is there, and what to know of it."""
    name, space = needs.name, needs.namespace
    ends = [
        "",
        "A tick ends with 0 if it promoted, kept, rejected or skipped, and if it found another one at work; with 1 if it failed,",
        "and the champion is then as it was. Each starts all of its machines, also where it then skips.",
    ]
    if needs.kind == "rayjob":
        return [f"  kubectl logs -n {space} -l job-name={name} --follow"]
    if needs.kind == "cronjob":
        return [
            f"  kubectl create job -n {space} --from=cronjob/{name} {name}-now",
            f"  kubectl logs -n {space} job/{name}-now --follow",
            f"  kubectl logs -n {space} -l job-name={name}-now-tick --follow",
            *ends,
            "The CronJob's job ends as its RayJob does, so failed ticks are failed jobs.",
        ]
    if needs.kind == "raycronjob":
        return [
            f"  kubectl get rayjobs -n {space}",
            *ends,
            "RayCronJob is alpha: the operator has to run with --feature-gates=RayCronJob=true. It lets ticks overlap, of which the",
            "second leaves, and keeps every RayJob until somebody deletes it; kuberay-cronjob.yaml does neither.",
        ]
    return [
        f"  kubectl exec -n {space} svc/{name}-head-svc -c ray-head -- raytl cluster ask --gpus {needs.gpus}",
        f"  kubectl port-forward -n {space} svc/{name}-head-svc 8265",
        "  raytl submit train experiments/trash-mobilenetv2.yaml --address http://127.0.0.1:8265 --code image --set ...",
    ]
