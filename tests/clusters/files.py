"""The files of clusters/ and their parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "clusters"
LAUNCHER = ("aws.yaml", "gcp.yaml")
KUBERAY = (
    "kuberay-rayjob.yaml",
    "kuberay-raycluster.yaml",
    "kuberay-cronjob.yaml",
    "kuberay-raycronjob.yaml",
    "kuberay-rayservice.yaml",
)
SERVING = ("serve-deployment.yaml",)
SCHEDULES = (
    "kuberay-cronjob.yaml", "kuberay-raycronjob.yaml", "airflow-retrain.py", "retrain.service", "retrain.timer", "retrain.crontab"
)  # fmt: skip
SCRIPTS = ("slurm.sh", "drain-on-notice.sh", "gcp-iam.sh")
STARTERS = (*LAUNCHER, *KUBERAY, "slurm.sh")
"""What starts a Ray that listens."""
_COMMANDS = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
_STARTS = ("head_start_ray_commands", "worker_start_ray_commands")


def text_of(name: str) -> str:
    return (FOLDER / name).read_text()


@lru_cache
def documents(text: str) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, loader) if document]


def ray_object(text: str) -> dict[str, Any]:
    """Return the RayJob or RayCluster of a KubeRay file, also if a schedule creates it."""
    *others, main = documents(text)
    if main["kind"] == "RayCronJob":
        return {**main, "kind": "RayJob", "spec": main["spec"]["jobTemplate"]}
    if main["kind"] == "CronJob":
        held = next(one["data"]["rayjob.yaml"] for one in others if "rayjob.yaml" in one.get("data", {}))
        return documents(held)[0]
    return main


def ray_cluster(text: str) -> dict[str, Any]:
    """Return the spec of the Ray cluster in a KubeRay file."""
    main = ray_object(text)["spec"]
    spec = main.get("rayClusterSpec", main.get("rayClusterConfig", main))
    assert isinstance(spec, dict)
    return spec


def head_template(text: str) -> dict[str, Any]:
    template = ray_cluster(text)["headGroupSpec"]["template"]
    assert isinstance(template, dict)
    return template


def worker_templates(text: str) -> list[dict[str, Any]]:
    return [group["template"] for group in ray_cluster(text)["workerGroupSpecs"]]


def templates(text: str) -> list[dict[str, Any]]:
    """Return every pod that a KubeRay file starts."""
    submitter = ray_object(text)["spec"].get("submitterPodTemplate")
    main = documents(text)[-1]
    starter = main["spec"]["jobTemplate"]["spec"]["template"] if main["kind"] == "CronJob" else None
    return [head_template(text), *worker_templates(text), *(one for one in (submitter, starter) if one)]


def containers(text: str) -> list[dict[str, Any]]:
    """Return every container of a KubeRay file, including the autoscaler."""
    declared = [container for template in templates(text) for container in template["spec"]["containers"]]
    options = ray_cluster(text).get("autoscalerOptions")
    return [*declared, *([{"name": "autoscaler", **options}] if options else [])]


def shells(name: str) -> Iterator[tuple[str, str]]:
    """Yield each shell script in a file, with its location."""
    text = text_of(name)
    if name in SCRIPTS:
        yield name, text
    elif name in LAUNCHER:
        config = documents(text)[0]
        for key in (*_COMMANDS, *_STARTS):
            for number, command in enumerate(config[key]):
                yield f"{name}: {key}[{number}]", f'#!/bin/bash\n: "${{RAY_HEAD_IP:=}}"\n{command}\n'
    elif name.endswith(".crontab"):
        yield name, f"#!/bin/bash\n# shellcheck source=/dev/null\n{text.splitlines()[-1].split(' ', 6)[-1]}\n"
    elif name in KUBERAY:
        for template in worker_templates(text):
            command = template["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
            assert command[:2] == ["/bin/bash", "-c"]
            yield f"{name}: preStop", f"#!/bin/bash\n{command[2]}"
        if entrypoint := ray_object(text)["spec"].get("entrypoint"):
            yield f"{name}: entrypoint", f"#!/bin/bash\n{entrypoint}\n"
        for container in templates(text)[-1]["spec"]["containers"]:
            if "command" in container:
                variables = "".join(f': "${{{one["name"]}:=}}"\n' for one in container["env"])
                yield f"{name}: starter", f"#!/bin/bash\n{variables}{container['command'][2]}"
