"""The manifest file for KubeRay; those in clusters/ are rendered from the defaults.

python -m tests.kube.test_render     accepts a change: rewrites clusters/kuberay-*.yaml and the golden file
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytl.errors import UserError
from raytl.kube.cluster_spec import ClusterSpec
from raytl.kube.render import RAY_VERSION, command, entrypoint, render
from tests.clusters import crds, kubernetes_types, rules
from tests.clusters.files import ray_object
from tests.clusters.test_rules import APPLIES

REPO = Path(__file__).resolve().parents[2]
MANY = ClusterSpec(
    name="crops", namespace="vision", image="ghcr.io/x/raytl:0.1.0", gpus=16, gpus_per_node=8, cpus_per_gpu=12,
    memory_per_gpu="48Gi", cache="1Ti", cache_class="local-nvme", bucket="crops", runs_claim="runs", spot=False, verb="tune",
    experiment="name: crops\ndata: {uri: 's3://crops/data'}\n", grace_s=25, deadline_s=7200,
)  # fmt: skip
GOLDEN = {
    REPO / "clusters" / "kuberay-rayjob.yaml": ClusterSpec(),
    REPO / "clusters" / "kuberay-raycluster.yaml": ClusterSpec(kind="raycluster"),
    REPO / "clusters" / "kuberay-cronjob.yaml": ClusterSpec(kind="cronjob"),
    REPO / "clusters" / "kuberay-raycronjob.yaml": ClusterSpec(kind="raycronjob"),
    Path(__file__).parent / "golden" / "many.yaml": MANY,
}
VARIANTS = [
    MANY,
    ClusterSpec(gpus=1, gpus_per_node=1),
    ClusterSpec(kind="raycluster", spot=False, cache_class="nvme", runs_claim="runs"),
    ClusterSpec(overrides=("data.uri=s3://x/y z", "train.epochs=3"), grace_s=25),
    ClusterSpec(
        kind="cronjob", name="crops", namespace="vision", experiment=MANY.experiment, schedule="@daily", deadline_s=7200
    ),
    ClusterSpec(kind="raycronjob", gpus=1, gpus_per_node=1, spot=False, cache_class="nvme", runs_claim="runs"),
]


def main_of(cluster: ClusterSpec) -> dict[str, Any]:
    return dict(list(yaml.safe_load_all(render(cluster)))[-1])


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in GOLDEN])
def test_the_file_is_the_golden_one(path: Path) -> None:
    assert render(GOLDEN[path]) == path.read_text(), "accept it: python -m tests.kube.test_render"


@pytest.mark.parametrize("cluster", VARIANTS)
def test_other_clusters_follow_the_rules_too(cluster: ClusterSpec) -> None:
    text = render(cluster)
    *others, main = yaml.safe_load_all(text)
    assert [
        problem for one in (main, ray_object(text)) if one["kind"] != "CronJob" for problem in crds.problems(one)
    ] == []
    others += [main] if main["kind"] == "CronJob" else []
    assert [problem for document in others for problem in kubernetes_types.problems(document)] == []
    name = f"kuberay-{cluster.kind}.yaml"
    exempt = {rules.has_usage} | (set() if cluster.spot else {rules.heads_stay})
    for rule, names in APPLIES.items():
        if name in names and rule not in exempt:
            assert list(rule(name, text)) == []


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (ClusterSpec(), "train /etc/raytl/experiment.yaml --set compute.cluster=auto --set data.uri=s3://my-bucket/data "
                  "--set storage.uri=s3://my-bucket/runs --set compute.workers=8"),
        (ClusterSpec(verb="tune", runs_claim="runs"), "tune /etc/raytl/experiment.yaml --set compute.cluster=auto "
                                                "--set data.uri=s3://my-bucket/data --set storage.uri=/mnt/runs"),
        (ClusterSpec(overrides=("compute.workers=4", "name=it's")), "train /etc/raytl/experiment.yaml --set compute.cluster=auto "
         "--set data.uri=s3://my-bucket/data --set storage.uri=s3://my-bucket/runs --set compute.workers=4 --set \"name=it's\""),
        (ClusterSpec(kind="cronjob"), "retrain /etc/raytl/experiment.yaml --set compute.cluster=auto --set data.uri=s3://my-bucket/data "
         "--set retrain.registry=s3://my-bucket/models/raytl --set storage.uri=s3://my-bucket/runs --set compute.workers=8"),
        (MANY, "tune /etc/raytl/experiment.yaml --set compute.cluster=auto"),
    ],
)  # fmt: skip
def test_the_job_runs_the_command_of_a_laptop(cluster: ClusterSpec, words: str) -> None:
    assert shlex.split(entrypoint(cluster)) == ["python", "-m", "raytl", *shlex.split(words)]


def test_a_job_starts_with_all_machines_and_a_raycluster_with_none() -> None:
    for cluster, counts in ((ClusterSpec(), (2, 2, 2)), (ClusterSpec(kind="raycluster"), (0, 0, 2))):
        spec = main_of(cluster)["spec"]
        group = spec.get("rayClusterSpec", spec)["workerGroupSpecs"][0]
        assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == counts


def test_the_file_names_the_command_that_renders_it() -> None:
    assert command(ClusterSpec()) == "raytl cluster render kuberay"
    cluster = ClusterSpec(kind="raycluster", spot=False, grace_s=25)
    assert f"#   {command(cluster)}\n" in render(cluster)
    assert command(cluster) == "raytl cluster render kuberay --kind raycluster --on-demand --grace 25"


def test_the_lines_of_a_value_stay_in_the_comment_and_in_the_command() -> None:
    compute = "compute=workers: 2\ndevice: cpu"
    cluster = ClusterSpec(overrides=(compute,))
    text = render(cluster)
    assert "#   raytl cluster render kuberay --set 'compute=workers: 2\n# device: cpu'\n" in text
    assert compute in shlex.split(main_of(cluster)["spec"]["entrypoint"])


def test_a_small_pod_has_the_object_store_without_which_ray_does_not_start() -> None:
    spec = main_of(ClusterSpec(memory_per_gpu="512Mi"))["spec"]["rayClusterSpec"]
    assert int(spec["workerGroupSpecs"][0]["rayStartParams"]["object-store-memory"]) >= 75 * 2**20


def test_a_cronjob_and_a_raycronjob_run_the_same_job() -> None:
    texts = {kind: render(ClusterSpec(kind=kind)) for kind in ("rayjob", "cronjob", "raycronjob")}
    specs = {kind: dict(ray_object(text)["spec"]) for kind, text in texts.items()}
    assert specs["cronjob"] == specs["raycronjob"]
    differs = {key for key, value in specs["rayjob"].items() if specs["cronjob"][key] != value}
    assert differs == {"entrypoint", "backoffLimit", "ttlSecondsAfterFinished"}


def test_an_invalid_cluster_is_refused() -> None:
    with pytest.raises(UserError, match="--gpus: found 0"):
        render(ClusterSpec(gpus=0))


def test_the_version_of_ray_is_the_pinned_one() -> None:
    assert f"\nray=={RAY_VERSION} \\\n" in (REPO / "constraints.txt").read_text()


if __name__ == "__main__":
    for golden, wanted in GOLDEN.items():
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(render(wanted))
