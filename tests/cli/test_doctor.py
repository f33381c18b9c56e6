"""`raytl doctor`: one screen, and exit code 1 if there is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Raytl
from tests.conftest import REPO
from tests.jobs.test_cluster import TOKEN, two_nodes


def test_without_a_cluster_only_this_machine_is_inspected(raytl: Raytl) -> None:
    done = raytl("doctor", "--address", "none", "--json")
    report = json.loads(done.out)
    assert {"versions", "GPUs"} <= {finding["check"] for finding in report["findings"]}
    assert done.code == (1 if report["errors"] else 0)
    shown = raytl("doctor", "--address", "none")
    assert "python 3." in shown.out and "versions" in shown.out


@pytest.mark.s3
def test_the_buckets_of_an_experiment_are_probed(raytl: Raytl, tiny: Path, bucket: str, s3_client: Any) -> None:
    s3_client.put_object(Bucket=bucket, Key="data/x", Body=b"123")
    there = ("--set", f"data.uri=s3://{bucket}/data", "--set", f"storage.uri=s3://{bucket}/runs")
    done = raytl("doctor", tiny, *there)
    assert f"probing s3://{bucket}/data" in done.err
    assert "1 objects" in done.out and "1 kB written and read" in done.out


@pytest.mark.s3
def test_errors_come_first_and_exit_with_1(raytl: Raytl, s3_client: Any) -> None:
    done = raytl("doctor", "--address", "none", "--bucket", "s3://nowhere-to-be-found")
    assert done.code == 1
    first = done.out.splitlines()[2]
    assert first.startswith("error") and "s3://nowhere-to-be-found" in first
    assert "-> check the URI" in done.out and "error" in done.out.splitlines()[-1]


def test_overrides_require_an_experiment(raytl: Raytl) -> None:
    done = raytl("doctor", "--set", "compute.cluster=auto")
    assert done.code == 2
    assert "--set compute.cluster: expected storage.*, or an experiment file" in done.err


@pytest.mark.ray
@pytest.mark.thorough
def test_an_embedded_ray_is_inspected(raytl: Raytl) -> None:
    report = json.loads(raytl("doctor", "--address", "local", "--json").out)
    assert any(finding["check"].startswith("network within") for finding in report["findings"])
    assert not [finding for finding in report["findings"] if finding["check"] == "machine"]


@pytest.mark.ray
@pytest.mark.s3
@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_both_nodes_of_a_cluster_are_inspected(
    raytl: Raytl, bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": s3_server}
    with two_nodes({"PYTHONPATH": str(REPO), **aws}) as (_, address):
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        # its own process: Ray reads its authentication settings at import
        command = [
            sys.executable,
            "-m",
            "raytl",
            "doctor",
            "--address",
            address,
            "--bucket",
            f"s3://{bucket}",
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO, timeout=200)
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["versions"]["observed"].endswith("on all 2 machines")
    assert findings["network between 2 machines"]["level"] != "error"
    assert findings[f"s3://{bucket}"]["observed"].endswith("the slowest of 2 machines")
    assert findings["clocks"]["level"] == "ok"
