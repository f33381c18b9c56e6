"""Rules for the cluster files beyond their schemas; each rule yields the violations."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from typer import TyperException
from typer.main import get_command

from raytl.cli.main import app
from tests.clusters import schedules
from tests.clusters.files import (
    KUBERAY,
    LAUNCHER,
    containers,
    documents,
    head_template,
    ray_cluster,
    ray_object,
    templates,
    worker_templates,
)

AIRFLOW = ("airflow-retrain.py",)
Rule = Callable[[str, str], Iterator[str]]

_SPOT = "karpenter.sh/capacity-type"
_SECRETS = (
    r"AKIA[0-9A-Z]{16}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY",
    r"(?i)(secret_access_key|password|auth_token)['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9/+]{12,}",
)
_BYTES = {"Mi": 1, "Gi": 1024}
_CALM = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_LD_PRELOAD_ON_WORKERS": "1",
    "RAY_worker_niceness": "0",
}


def environment(name: str, text: str) -> list[dict[str, Any]]:
    """Return the environment of each Ray process of the file; a value from a Secret is a mapping."""
    if name in KUBERAY:
        pods = [head_template(text), *worker_templates(text)]
        return [
            {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["spec"]["containers"][0]["env"]}
            for pod in pods
        ]
    if name in AIRFLOW:
        return [schedules.airflow(text)[1]["env"]]
    if name in LAUNCHER:
        words = [shlex.split(option) for option in documents(text)[0]["docker"]["run_options"]]
        return [dict(word[1].split("=", 1) for word in words if word[0] == "--env")]
    if name == "Dockerfile":
        blocks = re.findall(r"^ENV ((?:.*\\\n)*.*)$", text, re.M)  # the last stage is the image of the nodes
        return [dict(word.split("=", 1) for word in shlex.split(blocks[-1].replace("\\\n", " ")))] if blocks else [{}]
    exported = [word for line in re.findall(r"^export (.*)$", text, re.M) for word in shlex.split(line, comments=True)]
    return [dict(word.split("=", 1) for word in exported)]


def has_usage(name: str, text: str) -> Iterator[str]:
    """The file starts with its usage and with what to change."""
    lines = [line for line in text.splitlines() if not line.startswith(("#!", "# syntax="))]
    head = "\n".join(line for line in _until_code(lines))
    if f"clusters/{name}" not in head and name.removesuffix(".sh") not in head:
        yield "no command names the file"
    if "# To change:" not in head:
        yield "no comment says what to change"


def _until_code(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("#"):
            return
        yield line


def asks_for_a_token(name: str, text: str) -> Iterator[str]:
    """Every Ray of the file requires a token from a Secret or from a file that only one user can read."""
    for env in environment(name, text):
        if env.get("RAY_AUTH_MODE") != "token":
            yield f"RAY_AUTH_MODE is {env.get('RAY_AUTH_MODE')!r}"
        if name in KUBERAY and not (
            isinstance(env.get("RAY_AUTH_TOKEN"), dict) and "secretKeyRef" in env["RAY_AUTH_TOKEN"]
        ):
            yield "RAY_AUTH_TOKEN is not from a Secret"
        if name in AIRFLOW and not str(env.get("RAY_AUTH_TOKEN")).startswith("{{ conn."):
            yield "RAY_AUTH_TOKEN is not from a connection"
        if name in (*LAUNCHER, "slurm.sh") and not env.get("RAY_AUTH_TOKEN_PATH"):
            yield "no RAY_AUTH_TOKEN_PATH"
    if name in KUBERAY and (ray_cluster(text).get("authOptions") or {}).get("mode") != "token":
        yield "KubeRay does not use the token"
    if name in LAUNCHER and "~/.ray/auth_token" not in documents(text)[0]["file_mounts"]:
        yield "the token's file is not copied"
    if name in LAUNCHER and "chmod 600" not in text:
        yield "the token's file is readable for all users"
    if name == "slurm.sh" and "umask 077" not in text:
        yield "the token's file is readable for all users"


def keeps_the_dashboard_in(name: str, text: str) -> Iterator[str]:
    """The dashboard and job server are reachable from outside only through ssh or kubectl."""
    if re.search(r"dashboard-host[=: '\"]+(?!127\.0\.0\.1)", text):
        yield "the dashboard listens on a public address"
    if name not in KUBERAY:
        if "--dashboard-host=127.0.0.1" not in text:
            yield "the dashboard's host is not set"
        return
    head = ray_cluster(text)["headGroupSpec"]
    if head.get("serviceType") != "ClusterIP" or head.get("enableIngress"):
        yield "the head's service is public"
    policies = [one["spec"] for one in documents(text) if one["kind"] == "NetworkPolicy"]
    for template in templates(text):
        labels = template["metadata"]["labels"].items()
        if not any(
            one["podSelector"]["matchLabels"].items() <= labels and "Ingress" in one["policyTypes"] for one in policies
        ):
            yield "no network policy selects a pod"
    if any(not rule.get("from") for one in policies for rule in one["ingress"]):
        yield "the network policy allows all traffic"


def holds_no_secret(name: str, text: str) -> Iterator[str]:
    """The file holds no tokens, keys or passwords."""
    yield from (f"looks like a secret: {match[0][:20]}" for pattern in _SECRETS if (match := re.search(pattern, text)))
    if name in AIRFLOW:
        yield from ("the token is in the file" for one in environment(name, text) if "{{" not in one["RAY_AUTH_TOKEN"])
    if name in KUBERAY:
        yield from ("a Secret is in the file" for one in documents(text) if one["kind"] == "Secret")
        for env in environment(name, text):
            for key, value in env.items():
                if re.search("TOKEN|SECRET|PASSWORD|ACCESS_KEY", key) and isinstance(value, str):
                    yield f"{key} is a literal value"


def is_calm(name: str, text: str) -> Iterator[str]:
    """Usage reports are off, and workers keep freed memory and normal priority."""
    for env in environment(name, text):
        yield from (f"{key} is {env.get(key)!r}" for key, value in _CALM.items() if env.get(key) != value)


def caches_locally(name: str, text: str) -> Iterator[str]:
    """The cache is on a local disk of the node that is mounted in the container."""
    for env in environment(name, text):
        if not env.get("RAYTL_CACHE"):
            yield "no RAYTL_CACHE"
    if name in LAUNCHER and not re.search(r"--volume /\S*nvme\S*:/cache$", text, re.M):
        yield "the cache is not on NVMe"
    for template in [head_template(text), *worker_templates(text)] if name in KUBERAY else []:
        spec = template["spec"]
        mounted = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        volume = next((one for one in spec["volumes"] if one["name"] == mounted.get("/cache")), {})
        if not {"emptyDir", "ephemeral"} & set(volume):
            yield "the cache is not a local volume"


def asks_for_what_it_takes(_: str, text: str) -> Iterator[str]:
    """Requests equal limits and include CPU and memory."""
    for container in containers(text):
        held = container.get("resources", {})
        if held.get("requests") != held.get("limits") or not {"cpu", "memory"} <= set(held.get("limits", {})):
            yield f"{container['name']}: {held}"


def leaves_in_order(_: str, text: str) -> Iterator[str]:
    """A worker's pod drains first and is killed only after the drain's deadline."""
    for template in worker_templates(text):
        spec = template["spec"]
        hook = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [""])[-1]
        match = re.search(r"ray drain-node .*DRAIN_NODE_REASON_PREEMPTION.*--deadline-remaining-seconds (\d+)", hook)
        if not match:
            yield "no drain before termination"
        elif spec.get("terminationGracePeriodSeconds", 30) <= int(match[1]):
            yield "killed before the drain's deadline"


def heads_stay(name: str, text: str) -> Iterator[str]:
    """The head never runs on a spot machine; workers may."""
    if name in KUBERAY:
        affinity = head_template(text)["spec"].get("affinity", {}).get("nodeAffinity", {})
        terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
        rules = [rule for term in terms for rule in term["matchExpressions"]]
        if not any(rule["key"] == _SPOT and rule["operator"] == "NotIn" for rule in rules):
            yield "the head may run on a spot machine"
        for template in worker_templates(text):
            if not any(one["key"] == _SPOT for one in template["spec"].get("tolerations", [])):
                yield "workers do not tolerate spot machines"
        return
    config = documents(text)[0]
    for key, node in config["available_node_types"].items():
        options = str(node["node_config"].get("InstanceMarketOptions")) + str(node["node_config"].get("scheduling"))
        if ("spot" in options.lower()) is (key == config["head_node_type"]):
            yield f"{key}: {options}"
        if key != config["head_node_type"] and node["min_workers"] != 0:
            yield f"{key}: machines start without a request"


def jobs_end(_: str, text: str) -> Iterator[str]:
    """A job has a deadline, deletes its cluster at the end, and is deleted after a while."""
    spec = ray_object(text)["spec"]
    if not spec.get("activeDeadlineSeconds"):
        yield "no deadline"
    if spec.get("shutdownAfterJobFinishes") is not True or not spec.get("ttlSecondsAfterFinished"):
        yield "the cluster outlives its job"


def shares_memory(_: str, text: str) -> Iterator[str]:
    """/dev/shm is memory of a fixed size, smaller than the pod's."""
    for template in [head_template(text), *worker_templates(text)]:
        container = template["spec"]["containers"][0]
        mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volume = next((one for one in template["spec"]["volumes"] if one["name"] == mounted.get("/dev/shm")), {})
        held = volume.get("emptyDir", {})
        if held.get("medium") != "Memory" or "sizeLimit" not in held:
            yield f"{container['name']}: {volume}"
        elif _mebibytes(held["sizeLimit"]) >= _mebibytes(container["resources"]["limits"]["memory"]):
            yield f"{container['name']}: /dev/shm may take all its memory"


def is_unprivileged(_: str, text: str) -> Iterator[str]:
    """Pods meet Kubernetes' restricted profile: no root, no privileges, no unneeded API token."""
    for template in templates(text):
        pod = template["spec"].get("securityContext", {})
        if pod.get("runAsNonRoot") is not True or pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"pod: {pod}"
    for container in containers(text):
        held = container.get("securityContext", {})
        if held.get("allowPrivilegeEscalation") is not False or held.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{container['name']}: {held}"
    for template in worker_templates(text):
        if template["spec"].get("automountServiceAccountToken") is not False:
            yield "workers hold a Kubernetes API token"


def asks_little_of_kubernetes(_: str, text: str) -> Iterator[str]:
    """Only the pod that starts RayJobs has API permissions: to create and read RayJobs."""
    *others, main = documents(text)
    allowed = [rule for one in others if one["kind"] == "Role" for rule in one["rules"]]
    if allowed != [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}]:
        yield f"permissions: {allowed}"
    yield from (f"a {one['kind']} goes beyond the namespace" for one in others if one["kind"].startswith("Cluster"))
    bound = {subject["name"] for one in others if one["kind"] == "RoleBinding" for subject in one["subjects"]}
    if bound != {main["spec"]["jobTemplate"]["spec"]["template"]["spec"].get("serviceAccountName")}:
        yield f"permissions are bound to {bound}"
    for template in [head_template(text), *worker_templates(text)]:
        if template["spec"].get("serviceAccountName") in bound:
            yield "a Ray node has the permissions of the starter"


def retrains(name: str, text: str) -> Iterator[str]:
    """The file runs one tick with a valid raytl command."""
    words = schedules.words(name, text)
    if words[: words.index("retrain") + 1 if "retrain" in words else 0] not in (["retrain"], ["submit", "retrain"]):
        yield f"command: {words}"
        return
    try:
        get_command(app).commands[words[0]].make_context(words[0], words[1:])  # type: ignore[attr-defined]
    except TyperException as error:
        yield str(error)


def ticks_do_not_pile_up(name: str, text: str) -> Iterator[str]:
    """Ticks do not overlap, have a time limit, and are made up for at most once if missed."""
    if name.endswith(".yaml"):
        *_, main = documents(text)
        yield from _cron_job_problems(main["spec"], ray_object(text)) if main["kind"] == "CronJob" else ()
    elif name in AIRFLOW:
        dag, task = schedules.airflow(text)
        if dag.get("max_active_runs") != 1 or dag.get("catchup") is not False or not task.get("execution_timeout"):
            yield f"{dag}, {task.get('execution_timeout')}"
    elif name.endswith(".crontab"):
        if not re.search(r"timeout .*--kill-after=\w+ \d+h", schedules.crontab(text)[2]):
            yield "a tick may hang forever"
    else:
        wanted = {"Type": "oneshot", "TimeoutStartSec": "23h"} if name.endswith(".service") else {"Persistent": "true"}
        held = schedules.unit(text)["Service" if name.endswith(".service") else "Timer"]
        yield from (f"{key} is {held.get(key)!r}" for key, value in wanted.items() if held.get(key) != value)


def _cron_job_problems(spec: dict[str, Any], ray_job: dict[str, Any]) -> Iterator[str]:
    if spec.get("concurrencyPolicy") != "Forbid" or not spec.get("startingDeadlineSeconds"):
        yield "ticks may overlap"
    yield from (f"no {key}" for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit") if not spec.get(key))
    if spec["jobTemplate"]["spec"].get("activeDeadlineSeconds", 0) <= ray_job["spec"]["activeDeadlineSeconds"]:
        yield "the job's deadline is before its RayJob's"
    about = ray_job["metadata"]
    if [one["kind"] for one in about.get("ownerReferences", [])] != ["Job"]:
        yield "the RayJob outlives its job"
    if about["name"] == about["ownerReferences"][0]["name"] if about.get("ownerReferences") else False:
        yield "KubeRay would adopt the CronJob's job, because it creates one with the RayJob's name"


def failures_are_told(name: str, text: str) -> Iterator[str]:
    """A failed tick fails its job and is not retried immediately."""
    if name.endswith(".yaml"):
        *_, main = documents(text)
        tries = [ray_object(text)["spec"]]
        if main["kind"] == "CronJob":
            tries.append(main["spec"]["jobTemplate"]["spec"])
        yield from (f"backoffLimit is {one.get('backoffLimit')}" for one in tries if one.get("backoffLimit") != 0)
    elif name in AIRFLOW:
        _, task = schedules.airflow(text)
        if "--wait" not in task["bash_command"] or (task.get("retries") and not task.get("retry_delay")):
            yield f"{task}"
    elif name.endswith(".crontab"):
        if 'exit "$code"' not in schedules.crontab(text)[2]:
            yield "the exit code is lost"
    else:
        held = schedules.unit(text)["Service"]
        if "Restart" in held or held.get("SuccessExitStatus", "130") != "130" or held["ExecStart"].startswith("-"):
            yield f"{held}"


def _mebibytes(quantity: str) -> int:
    match = re.fullmatch(r"(\d+)(Mi|Gi)", quantity)
    assert match, quantity
    return int(match[1]) * _BYTES[match[2]]
