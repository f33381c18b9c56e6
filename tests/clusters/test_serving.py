"""The files that serve: checked by Kubernetes' types, Ray Serve's schema, raytl's own options, and rules."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from typer import TyperException
from typer.main import get_command

from raytl.cli.main import app
from raytl.errors import UserError
from raytl.feedback import recorder
from raytl.serving import observe
from raytl.serving.access import PROBES
from raytl.serving.options import Limits, Replicas
from raytl.serving.ray_serve import options_of
from tests.clusters import kubernetes_types
from tests.clusters.files import SERVING, documents, ray_object, text_of
from tests.serving.bundles import photo, write_bundle

RAY_SERVICE = "kuberay-rayservice.yaml"
REPO = Path(__file__).resolve().parents[2]


def kind(text: str, name: str) -> dict[str, Any]:
    return next(one for one in documents(text) if one["kind"] == name)


def faults(text: str) -> list[str]:
    """Return what is wrong with a Deployment that serves."""
    deployment = kind(text, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    lines = [problem for one in documents(text) for problem in kubernetes_types.problems(one)]
    selected = deployment["template"]["metadata"]["labels"].items()
    selectors = (
        deployment["selector"]["matchLabels"],
        kind(text, "Service")["spec"]["selector"],
        kind(text, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        kind(text, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    )
    lines += [f"{one} selects no pod" for one in selectors if not one.items() <= selected]
    paths = {probe: container.get(probe, {}).get("httpGet", {}).get("path") for probe in _PROBES}
    lines += [f"{probe}: {path}" for probe, path in paths.items() if path not in PROBES]
    if container["securityContext"] != _CONTAINER or pod["securityContext"].get("runAsNonRoot") is not True:
        lines.append("the container is not restricted")
    if container["resources"]["requests"] != container["resources"]["limits"]:
        lines.append("requests differ from limits")
    ends_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1]) + Limits().drain_s
    if pod["terminationGracePeriodSeconds"] <= ends_s + observe.CLOSE_S + recorder.CLOSE_S:
        lines.append("it is killed before requests have finished and feedback is stored")
    token: dict[str, Any] = next((one for one in container["env"] if one["name"] == "RAYTL_SERVE_TOKEN"), {})
    if "secretKeyRef" not in token.get("valueFrom", {}):
        lines.append("the token is not from a Secret")
    if any(not rule.get("from") for rule in kind(text, "NetworkPolicy")["spec"]["ingress"]):
        lines.append("the network policy allows all traffic")
    if kind(text, "Service")["spec"]["type"] != "ClusterIP":
        lines.append("the service is public")
    if "--open-metrics" not in container["args"]:
        lines.append("the probes need a token")
    try:
        get_command(app).commands["serve"].make_context("serve", list(container["args"]))  # type: ignore[attr-defined]
    except TyperException as error:
        lines.append(str(error))
    return lines


_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.mark.parametrize("name", SERVING)
def test_the_deployment_follows_the_rules(name: str) -> None:
    assert faults(text_of(name)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("maxUnavailable: 1\n", "maxUnavailabl: 1\n", "maxUnavailabl"),
        ("targetPort: http", "targetPrt: http", "targetPrt"),
        ("path: /readyz", "path: /ready", "Probe: /ready"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "not restricted"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "not restricted"),
        ("terminationGracePeriodSeconds: 90", "terminationGracePeriodSeconds: 80", "killed before"),
        ("secretKeyRef", "configMapKeyRef", "not from a Secret"),
        ("type: ClusterIP", "type: LoadBalancer", "public"),
        ("            - --open-metrics\n", "", "need a token"),
        ("- --threads\n", "- --thread\n", "No such option"),
        ('cpu: "2"\n              memory: "2Gi"\n              ephemeral-storage: "8Gi"\n            limits', 'cpu: "1"\n            limits', "differ"),
    ],
)  # fmt: skip
def test_a_faulty_deployment_is_found(old: str, new: str, fault: str) -> None:
    text = text_of(SERVING[0])
    assert old in text
    assert fault in "\n".join(faults(text.replace(old, new)))


def test_rays_schema_and_raytl_accept_the_configuration_of_ray_serve() -> None:
    config = yaml.safe_load(ray_object(text_of(RAY_SERVICE))["spec"]["serveConfigV2"])
    schema = ServeDeploySchema.model_validate(config)
    (one,) = schema.applications
    assert one.import_path == "raytl.serving.ray_serve:application"
    options = options_of(one.args)
    assert (options.ray, options.worker_count) == (Replicas(1, 4, "auto", "RAYTL_SERVE_TOKEN"), 1)
    with pytest.raises(UserError, match="args: found .'modl'.; expected model"):
        options_of({"modl": "x"})
    with pytest.raises(UserError, match="expected a number"):
        options_of({"model": "x", "workers": "two"})


def test_the_pods_of_ray_serve_have_its_token_and_the_variables_of_haproxy() -> None:
    for env in re.findall(r"env:\n((?: +- name: .*\n(?: {16,}.*\n)+)+)", text_of(RAY_SERVICE)):
        assert "RAYTL_SERVE_TOKEN" in env and "raytl-serve-token" in env
        assert "RAY_SERVE_ENABLE_HA_PROXY\n" in env and "RAY_SERVE_THROUGHPUT_OPTIMIZED\n" in env


def test_the_image_installs_what_serving_imports_and_no_more(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "photo.jpg").write_bytes(photo())
    done = subprocess.run(
        [sys.executable, "-m", "tests.clusters.only_required", str(tmp_path / "bundle")],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "unused:"
