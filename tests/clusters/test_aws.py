"""aws.yaml and aws-iam.yaml on moto's EC2: the roles are created, and Ray starts a head and a spot worker."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from ray.autoscaler._private.aws import config as rays
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config

from tests.clusters.files import documents, text_of

pytestmark = pytest.mark.thorough
REGION = "us-east-1"


@pytest.fixture
def account(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Create an account with the roles of aws-iam.yaml, for the bucket `photos`."""
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes a key pair there
    with mock_aws():
        boto3.client("cloudformation", REGION).create_stack(
            StackName="raytl",
            TemplateBody=text_of("aws-iam.yaml"),
            Parameters=[{"ParameterKey": "Bucket", "ParameterValue": "photos"}],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        yield


def statements(policy: str) -> list[dict[str, Any]]:
    """Return the statements of a managed policy."""
    iam = boto3.resource("iam")
    return list(iam.Policy(f"arn:aws:iam::123456789012:policy/{policy}").default_version.document["Statement"])


def test_machines_can_access_one_bucket_and_only_the_head_can_start_others(account: None) -> None:
    bucket, start = statements("raytl-bucket"), statements("raytl-start-workers")
    assert {one["Resource"] for one in bucket if "s3:" in str(one["Action"])} == {
        "arn:aws:s3:::photos",
        "arn:aws:s3:::photos/*",
    }
    assert not any("ec2:" in str(one["Action"]) or "iam:" in str(one["Action"]) for one in bucket)
    passed = [one["Resource"] for one in start if "iam:PassRole" in str(one["Action"])]
    assert len(passed) == 1 and passed[0].endswith(":role/raytl-worker")
    assert not any(one["Action"] == "*" or "s3:" in str(one["Action"]) for one in start)
    # moto does not report which role has which policy
    attached = re.findall(r"RoleName: .*-(\w+)\"(?:\n.+)*?\n +ManagedPolicyArns: \[(.*)\]", text_of("aws-iam.yaml"))
    assert attached == [("worker", "!Ref UseBucket"), ("head", "!Ref UseBucket, !Ref StartWorkers")]


def test_ray_starts_an_on_demand_head_and_spot_workers(account: None) -> None:
    config = rays.bootstrap_aws(prepare_config(copy.deepcopy(documents(text_of("aws.yaml"))[0])))
    assert config["available_node_types"]["gpu-spot"]["resources"] == {}
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    ec2 = boto3.client("ec2", REGION)
    for name, spot in (("head", False), ("gpu-spot", True)):
        node = {
            **config["available_node_types"][name]["node_config"],
            "ImageId": "ami-12c6146b",
        }  # moto does not support parameters
        provider.create_node(node, {"ray-node-name": name}, 1)
        instances = [
            instance
            for reservation in ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
            if {"Key": "Name", "Value": name} in instance["Tags"] or name in str(instance["Tags"])
        ]
        assert len(instances) == 1
        assert (instances[0].get("InstanceLifecycle") == "spot") is spot
        assert instances[0]["IamInstanceProfile"]["Arn"].endswith("raytl-worker" if spot else "raytl-head")
    rules = [
        rule
        for group in ec2.describe_security_groups()["SecurityGroups"]
        if group["GroupName"] == "ray-autoscaler-raytl"
        for rule in group["IpPermissions"]
    ]
    public = [rule for rule in rules if any(one["CidrIp"] == "0.0.0.0/0" for one in rule["IpRanges"])]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in public] == [(22, 22)]
