"""Every file of clusters/ is validated by its consumer: Ray's launcher, KubeRay, Kubernetes, CloudFormation, a shell, Docker, raytl."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import fillout_defaults, prepare_config, validate_config

from raytl.config.load import load_experiment
from tests.clusters import crds, kubernetes_types
from tests.clusters.files import (
    FOLDER,
    KUBERAY,
    LAUNCHER,
    SCHEDULES,
    SCRIPTS,
    SERVING,
    documents,
    ray_object,
    shells,
    templates,
    text_of,
)

BIN = Path(sys.executable).parent
SHELLS = [
    pytest.param(text, id=where)
    for name in (*SCRIPTS, *LAUNCHER, *KUBERAY, "retrain.crontab")
    for where, text in shells(name)
]


def run(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True, check=False)


def test_every_file_is_tested() -> None:
    tested = {
        *SCRIPTS,
        *LAUNCHER,
        *KUBERAY,
        *SERVING,
        *SCHEDULES,
        "serve-requirements.txt",
        "local.yaml",
        "aws-iam.yaml",
        "Dockerfile",
    }
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == tested


def launcher_config(name: str) -> dict[str, Any]:
    """Return the file as `ray up` reads it, before it contacts the cloud."""
    return dict(prepare_config(copy.deepcopy(documents(text_of(name))[0])))


@pytest.mark.parametrize("name", LAUNCHER)
def test_rays_launcher_accepts_the_file(name: str) -> None:
    config = launcher_config(name)
    validate_config(config)
    assert config["available_node_types"]["head"]["max_workers"] == 0
    assert config["available_node_types"]["gpu-spot"]["max_workers"] == config["max_workers"]
    # the file overrides Ray's defaults: no images of Ray's, no public dashboard, no latest wheels
    commands = json.dumps([config[key] for key in config if key.endswith("_commands")])
    assert "wheels" not in commands
    assert fillout_defaults(config)["docker"]["image"].endswith("/raytl:0.1.0")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"head_node_typ": "head"}, "Additional properties"),
        ({"max_workers": "8"}, "is not of type 'integer'"),
        ({"docker": {"img": "x"}}, "Additional properties"),
    ],
)
@pytest.mark.parametrize("name", LAUNCHER)
def test_rays_launcher_refuses_an_invalid_file(name: str, change: dict[str, Any], fault: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=fault):
        validate_config({**launcher_config(name), **change})


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_and_kubernetes_accept_the_file(name: str) -> None:
    *others, main = documents(text_of(name))
    resource = ray_object(text_of(name))
    assert [
        problem for one in (main, resource) if "ray.io" in one["apiVersion"] for problem in crds.problems(one)
    ] == []
    others += [main] if main["kind"] == "CronJob" else []
    assert [problem for document in others for problem in kubernetes_types.problems(document)] == []
    for template in templates(text_of(name)):
        assert kubernetes_types.misfits(template, "V1PodTemplateSpec") == []
    for document in (*others, main, resource):
        assert kubernetes_types.misfits(document["metadata"], "V1ObjectMeta") == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("ttlSecondsAfterFinished:", "ttlSecondsAfterEnd:", "ttlSecondsAfterEnd"),
        ("activeDeadlineSeconds: 86400", "activeDeadlineSeconds: 1 day", "is not of type 'integer'"),
        ("mountPath: /cache", "mountPth: /cache", "mountPth"),
        ("mode: token", "mode: tokens", "is not one of"),
        ("maxReplicas: 2", "maxReplica: 2", "maxReplica"),
        ('sizeLimit: "4Gi"', "sizeLimit: 4GiB", "does not match"),
    ],
)
def test_kuberay_refuses_an_invalid_file(old: str, new: str, fault: str) -> None:
    text = text_of("kuberay-rayjob.yaml")
    assert old in text
    assert fault in "\n".join(crds.problems(documents(text.replace(old, new))[-1]))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("podSelector:", "podSelectr:", "not permitted"),
        ("policyTypes:\n    - Ingress", "policyTypes: Ingress", "valid list"),
        ("port: 8265", "port: 8265\n          ports: 1", "not permitted"),
    ],
)
def test_kubernetes_refuses_an_invalid_file(old: str, new: str, fault: str) -> None:
    text = text_of("kuberay-rayjob.yaml")
    assert old in text
    policy = next(one for one in documents(text.replace(old, new)) if one["kind"] == "NetworkPolicy")
    assert fault in "\n".join(kubernetes_types.problems(policy))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("concurrencyPolicy: Forbid", "concurrencyPolicys: Forbid", "not permitted"),
        ("backoffLimit: 0", "backoffLimit: none", "valid integer"),
        ("onPodConditions", "onPodCondition", "not permitted"),
    ],
)
def test_kubernetes_refuses_an_invalid_schedule(old: str, new: str, fault: str) -> None:
    text = text_of("kuberay-cronjob.yaml")
    assert old in text
    assert fault in "\n".join(kubernetes_types.problems(documents(text.replace(old, new))[-1]))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("schedule:", "schedul:", "schedul"),
        ("timeZone: Etc/UTC", "timeZone: 0", "is not of type 'string'"),
        ("spec:\n  schedule", "spec:\n  concurrencyPolicy: Forbid\n  schedule", "concurrencyPolicy"),
        ("mode: token", "mode: tokens", "is not one of"),
    ],
)
def test_kuberay_refuses_an_invalid_schedule(old: str, new: str, fault: str) -> None:
    text = text_of("kuberay-raycronjob.yaml")
    assert old in text
    assert fault in "\n".join(crds.problems(documents(text.replace(old, new))[-1]))


def test_kubernetes_refuses_an_invalid_pod() -> None:
    wrong: dict[str, Any] = {
        "spec": {"containers": [{"name": "x", "lifecycle": {"preStp": {}}}], "serviceAccountName": 1}
    }
    problems = "\n".join(kubernetes_types.misfits(wrong, "V1PodTemplateSpec"))
    assert "preStp: Extra inputs are not permitted" in problems
    assert "serviceAccountName: Input should be a valid string" in problems
    assert "containers: Field required" in "\n".join(kubernetes_types.misfits({"spec": {}}, "V1PodTemplateSpec"))


@pytest.mark.parametrize("text", SHELLS)
def test_every_shell_script_passes_shellcheck(text: str) -> None:
    assert run("bash", "-n", stdin=text).stderr == ""
    checked = run(BIN / "shellcheck", "--severity=style", "-", stdin=text)
    assert checked.stdout + checked.stderr == ""


def test_a_faulty_shell_script_is_found() -> None:
    assert run("bash", "-n", stdin="if true; then").returncode
    assert "SC2086" in run(BIN / "shellcheck", "-", stdin="#!/bin/bash\nx=$1\nrm $x\n").stdout


def test_the_dockerfile_is_valid_and_copies_existing_files() -> None:
    checked = run(BIN / "hadolint", "--no-color", FOLDER / "Dockerfile")
    assert checked.stdout + checked.stderr == ""
    for sources in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.*) \S+$", text_of("Dockerfile"), re.M):
        assert all((FOLDER.parent / source).exists() for source in sources.split())


def test_a_faulty_dockerfile_is_found() -> None:
    assert "DL3007" in run(BIN / "hadolint", "-", stdin="FROM python:latest\n").stdout


@pytest.mark.thorough  # about six seconds
def test_cloudformation_accepts_the_roles(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text_of("aws-iam.yaml").replace("ManagedPolicyArns", "PolicyArns"))
    checked = run(BIN / "cfn-lint", "--format", "parseable", FOLDER / "aws-iam.yaml", wrong)
    assert checked.stdout and all(line.startswith(str(wrong)) for line in checked.stdout.splitlines())
    assert "PolicyArns" in checked.stdout


def test_the_local_file_is_the_compute_section_of_an_experiment(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: resnet18}\n")
    compute = load_experiment(path, {"compute": yaml.safe_load(text_of("local.yaml"))}).compute
    assert (compute.cluster, compute.workers) == ("local", 2)
