"""`raytl cluster`."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from raytl.kube.cluster_spec import ClusterSpec
from raytl.kube.render import render
from tests.cli.conftest import Raytl

EXPERIMENT = "name: crops\ndata: {uri: 's3://crops/data'}\nmodel: {name: resnet18}\n"


def test_the_manifest_is_printed(raytl: Raytl) -> None:
    done = raytl("cluster", "render", "kuberay", "--gpus", "8")
    assert (done.code, done.out, done.err) == (0, render(ClusterSpec()), "")


def test_the_manifest_of_another_cluster_is_written_to_a_file(raytl: Raytl) -> None:
    done = raytl("cluster", "render", "kuberay", "--kind", "raycluster", "--on-demand", "--out", "x.yaml", "--json")
    cluster = ClusterSpec(kind="raycluster", spot=False)
    assert Path("x.yaml").read_text() == render(cluster)
    assert json.loads(done.out)["cluster"]["spot"] is False
    assert "wrote x.yaml" in done.err


def test_the_resolved_experiment_is_embedded(raytl: Raytl) -> None:
    Path("crops.yaml").write_text(EXPERIMENT)
    done = raytl(
        "cluster", "render", "kuberay", "--experiment", "crops.yaml", "--bucket", "crops", "--set", "train.epochs=3"
    )
    assert done.code == 0
    config = next(one for one in yaml.safe_load_all(done.out) if one["kind"] == "ConfigMap")
    embedded = yaml.safe_load(config["data"]["experiment.yaml"])
    assert (embedded["train"]["epochs"], embedded["storage"]["uri"], embedded["compute"]["workers"]) == (
        3,
        "s3://crops/runs",
        8,
    )


def test_scheduled_retraining_requires_a_registry(raytl: Raytl) -> None:
    Path("crops.yaml").write_text(EXPERIMENT)
    words = ("cluster", "render", "kuberay", "--kind", "cronjob", "--experiment", "crops.yaml", "--schedule", "@daily")
    done = raytl(*words)
    assert (done.code, "retrain.registry: found nothing" in done.err) == (2, True)
    done = raytl(*words, "--set", "retrain.registry=s3://crops/models/crops")
    assert done.code == 0 and list(yaml.safe_load_all(done.out))[-1]["spec"]["schedule"] == "@daily"


def test_all_problems_are_listed_with_exit_code_2(raytl: Raytl) -> None:
    done = raytl("cluster", "render", "kuberay", "--gpus", "0", "--name", "A", "--memory-per-gpu", "x")
    assert (done.code, done.out) == (2, "")
    assert "the rayjob: 3 problems" in done.err
    Path("crops.yaml").write_text(EXPERIMENT.replace("s3://crops/data", "photos"))
    done = raytl("cluster", "render", "kuberay", "--experiment", "crops.yaml")
    assert (done.code, "data.uri: found 'photos'" in done.err) == (2, True)


def test_a_table_on_this_machine_is_refused_because_only_the_experiment_is_embedded(raytl: Raytl) -> None:
    Path("rows.csv").write_text("path,label\ns3://crops/1.jpg,red\n")
    Path("crops.yaml").write_text(EXPERIMENT.replace("s3://crops/data", "rows.csv"))
    done = raytl("cluster", "render", "kuberay", "--experiment", "crops.yaml")
    assert (done.code, "data.uri: found 'rows.csv'; expected s3://bucket/prefix" in done.err) == (2, True)
