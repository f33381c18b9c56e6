"""A cluster spec is validated as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.errors import UserError
from raytl.kube.cluster_spec import ClusterSpec, binary_bytes, quantity, validate


def test_the_defaults_are_valid() -> None:
    assert validate(ClusterSpec()) == ClusterSpec()
    assert validate(ClusterSpec(kind="raycluster")).nodes == 2
    assert validate(ClusterSpec(cache_class="2nd.csi.example.com", runs_claim="team.runs-1")).cache_class
    assert validate(ClusterSpec(kind="cronjob", schedule="*/30 6-18 * * MON-FRI", name="a" * 33)).scheduled


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"gpus": 0}, "--gpus: found 0; expected 1 or more"),
        ({"gpus": 6}, "--gpus: found 6 with 4 per node; expected a multiple"),
        ({"gpus_per_node": 0}, "--gpus-per-node: found 0; expected 1 or more"),
        ({"cpus_per_gpu": -1}, "--cpus-per-gpu: found -1"),
        ({"name": "My_Cluster"}, "--name: found 'My_Cluster'; expected lower-case letters"),
        ({"name": "a" * 48}, "at most 47 characters"),
        ({"name": "raytl\n"}, "--name: found"),
        ({"namespace": "-x"}, "--namespace: found '-x'"),
        ({"cache_class": "Fast!"}, "--cache-class: found 'Fast!'"),
        ({"runs_claim": "Runs"}, "--runs-claim: found 'Runs'"),
        ({"memory_per_gpu": "32G"}, "--memory-per-gpu: found '32G'; expected a quantity"),
        ({"cache": "lots"}, "--cache: found 'lots'"),
        ({"image": "raytl:latest"}, "an immutable tag"),
        ({"image": "registry.example:5000/raytl"}, "--image: found"),
        ({"image": "x:1; rm -rf /"}, "--image: found"),
        ({"bucket": "s3://photos"}, "--bucket: found 's3://photos'; expected the bucket's name"),
        ({"grace_s": 5}, "--grace: found 5 s; expected 15 s or more"),
        ({"deadline_s": 0}, "--deadline: found 0 s"),
        ({"overrides": ("lr",)}, "--set: found 'lr'; expected A.B=VALUE"),
        ({"verb": "tune"}, "name one with --runs-claim"),
        ({"kind": "cronjob", "verb": "tune", "runs_claim": "runs"}, "--verb: a cronjob always retrains"),
        ({"kind": "cronjob", "schedule": "daily"}, "--schedule: found 'daily'; expected five fields"),
        ({"kind": "raycronjob", "schedule": "0 6 * *"}, "--schedule: found '0 6 * *'"),
        ({"kind": "cronjob", "name": "a" * 34}, "at most 33 characters"),
        ({"schedule": "@daily"}, "--schedule: a rayjob has no schedule"),
        ({"kind": "raycluster", "schedule": "@daily"}, "--schedule: a raycluster has no schedule"),
        ({"kind": "raycluster", "overrides": ("a.b=1",)}, "--set: a raycluster runs jobs that are submitted later"),
        ({"kind": "raycluster", "experiment": "name: x\n"}, "--experiment: a raycluster runs"),
        ({"kind": "raycluster", "verb": "tune"}, "--verb: a raycluster runs"),
    ],
)
def test_an_invalid_value_is_an_error(wrong: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=r"1 problem\n") as caught:
        validate(ClusterSpec(**wrong))
    assert fault in str(caught.value)


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(UserError, match="the rayjob: 4 problems"):
        validate(ClusterSpec(gpus=0, name="A", bucket="", memory_per_gpu=""))


@pytest.mark.parametrize(
    "image",
    [
        "raytl:1",
        "registry.example:5000/team/raytl:0.1.0-cu12",
        "ghcr.io/x/raytl@sha256:" + "0" * 64,
        "x:1@sha256:" + "0" * 64,
    ],
)
def test_an_image_has_a_tag_or_a_digest(image: str) -> None:
    assert validate(ClusterSpec(image=image)).image == image


@pytest.mark.parametrize(("text", "count"), [("512Mi", 512 * 2**20), ("32Gi", 32 * 2**30), ("2048Gi", 2 * 2**40)])
def test_quantities_are_parsed_and_formatted(text: str, count: int) -> None:
    assert (binary_bytes(text), quantity(count)) == (count, text)


def test_the_drain_leaves_time_to_shut_down() -> None:
    assert [(grace, ClusterSpec(grace_s=grace).drain_s) for grace in (15, 25, 120)] == [(15, 11), (25, 18), (120, 90)]
