"""The application on Ray Serve: the CPUs of its replicas, and a request through HAProxy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from raytl.errors import UserError
from raytl.serving.options import Limits, Replicas, ServeOptions, required_token
from raytl.serving.ray_serve import bound, cpus_of, for_replicas, options_of
from tests.serving.bundles import photo, write_bundle
from tests.serving.test_server import REPO


@pytest.mark.parametrize(("threads", "workers", "cpus"), [(1, 1, 1), (2, 3, 6), (0, 2, 2)])
def test_a_replica_reserves_its_threads(threads: int, workers: int, cpus: int) -> None:
    assert cpus_of(ServeOptions("x", threads=threads, workers=workers)) == cpus


def test_the_deployment_has_the_replicas_and_the_queue_of_the_options() -> None:
    limits = Limits(queue=5)
    fixed = bound(ServeOptions("x", workers=2, limits=limits, ray=Replicas(3, 3)))._bound_deployment
    scaled = bound(ServeOptions("x", workers=2, limits=limits, ray=Replicas(1, 4)))._bound_deployment
    assert (fixed.num_replicas, fixed.max_ongoing_requests) == (3, 7)
    assert fixed.ray_actor_options["num_cpus"] == 2
    config = scaled._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas) == (1, 4)


def test_a_token_does_not_travel_but_each_replica_needs_it() -> None:
    options = for_replicas(ServeOptions("x", token="a-token-of-24-characters", ray=Replicas()))
    assert (options.token, options.ray) == (None, Replicas(token_env="RAYTL_SERVE_TOKEN"))
    assert for_replicas(ServeOptions("x", ray=Replicas())).ray == Replicas()
    with pytest.raises(UserError, match="RAYTL_SERVE_TOKEN is not set; expected a token, as --token-env names it"):
        required_token("RAYTL_SERVE_TOKEN", "127.0.0.1", {})


def test_arguments_of_a_configuration_file_are_texts() -> None:
    options = options_of(
        {"model": "m", "threads": "2", "allow": "s3://a s3://b/c", "open_metrics": "true", "replicas": "2:3"}
    )
    assert (options.threads, options.workers, options.allow) == (2, 1, ("s3://a", "s3://b/c"))
    assert (options.open_metrics, options.ray) == (True, Replicas(2, 3, "auto"))


@pytest.mark.thorough
@pytest.mark.ray
def test_replicas_answer_and_ask_for_the_token_and_leave_in_order(tmp_path: Path) -> None:
    folder, token = write_bundle(tmp_path / "colours"), "a-token-of-24-characters"
    process = subprocess.Popen(
        [sys.executable, "-m", "raytl", "serve", str(folder), "--ray", "--port", "18365", "--json"],
        env=os.environ | {"PYTHONPATH": str(REPO), "RAYTL_SERVE_TOKEN": token}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    uri = json.loads(process.stdout.readline())["uri"]
    request = urllib.request.Request(
        f"{uri}/predict", photo(), {"content-type": "image/jpeg", "authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        assert json.load(response)["label"] == "red"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(urllib.request.Request(f"{uri}/predict", photo()), timeout=60)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 0


@pytest.mark.thorough
@pytest.mark.ray
def test_more_replicas_than_cpus_are_an_error_and_do_not_hang(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "colours")
    done = subprocess.run(
        [sys.executable, "-m", "raytl", "serve", str(folder), "--ray", "--port", "18366", "--replicas", "5000"],
        env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert (done.returncode, "5000 replicas of 1 CPUs need 5000 CPUs" in " ".join(done.stderr.split())) == (2, True)
