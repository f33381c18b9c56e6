"""A job is a value: equal commands have equal ids, and it holds no secret."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from raytl.config.override import override
from raytl.errors import ConfigError
from raytl.jobs.client import JobState, next_attempt
from raytl.jobs.pack import pack
from raytl.jobs.spec import JobSpec, Verb, job_spec
from tests.jobs.test_pack import FAR

STORED = {"retrain.registry": "s3://bucket/models/far"}


def spec(verb: Verb = "train", changes: dict[str, Any] | None = None, **more: Any) -> JobSpec:
    packed, experiment = pack(override(FAR, changes or {}), None)
    arguments = {"code_source": "image", "version": "1.2", "user": "me", "commit": "abc", **more}
    return job_spec(verb, experiment, packed, **arguments)


def state(job: JobSpec, status: str, attempt: int = 1) -> JobState:
    name = f"{job.id.rpartition('-')[0]}-{attempt}"
    return JobState(name, status, "", job.entrypoint, job.metadata, 1.0, None, None)


def test_a_jobs_id_depends_on_verb_experiment_and_code() -> None:
    assert spec().id == spec().id == spec(user="you").id
    assert spec().id.startswith("raytl-train-far-") and spec().id.endswith("-1")
    assert len({spec().id, spec("tune").id, spec(changes={"optim.lr": 0.1}).id}) == 3
    assert spec(version="1.3").id == spec().id, "the image says which raytl it has"
    assert spec(code_source="pip").id != spec(code_source="pip", version="1.3").id


def test_the_entrypoint_is_the_local_command() -> None:
    assert spec().entrypoint == "python -m raytl train experiment.yaml --set compute.cluster=auto"
    assert spec("tune", new=True).entrypoint.endswith("tune experiment.yaml --set compute.cluster=auto --new")
    assert spec("evaluate").entrypoint == "python -m raytl evaluate s3://bucket/runs/far"
    assert spec("retrain", STORED, new=True).entrypoint.endswith("retrain experiment.yaml --set compute.cluster=auto")
    assert "compute.cluster=none" in spec(changes={"compute.cluster": "none"}).entrypoint


def test_an_evaluation_job_keeps_the_machine_settings_of_the_users_file() -> None:
    changes = {"storage.endpoint_url": "http://store:9000", "compute.device": "cuda", "compute.timeout_s": 5}
    assert spec("evaluate", changes).entrypoint == (
        "python -m raytl evaluate s3://bucket/runs/far --set storage.endpoint_url=http://store:9000 --set compute.device=cuda"
    )


def test_raytl_comes_from_the_image_the_package_index_or_the_checkout() -> None:
    assert "pip" not in spec().runtime_env and "pip" not in spec(code_source="checkout").runtime_env
    assert spec(code_source="pip").runtime_env["pip"] == ["raytl==1.2"]


def test_a_job_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary-token")
    assert "canary" not in json.dumps(asdict(spec()))


@pytest.mark.parametrize(
    ("before", "new", "expected"),
    [
        ([], False, "1"),
        (["RUNNING"], False, "attach 1"),
        (["PENDING"], False, "attach 1"),
        (["SUCCEEDED"], False, "attach 1"),
        (["FAILED"], False, "2"),
        (["STOPPED"], False, "2"),
        (["FAILED", "RUNNING"], False, "attach 2"),
        (["FAILED", "STOPPED"], False, "3"),
        (["RUNNING"], True, "2"),
        (["SUCCEEDED"], True, "2"),
    ],
)
def test_the_same_submission_attaches_resumes_or_starts(before: list[str], new: bool, expected: str) -> None:
    job = spec()
    states = [state(job, status, number) for number, status in enumerate(before, start=1)]
    decided = next_attempt(job, states, new)
    attempt = decided.id.rpartition("-")[2]
    assert (f"attach {attempt}" if isinstance(decided, JobState) else attempt) == expected
    assert decided.id.rpartition("-")[0] == job.id.rpartition("-")[0]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (["SUCCEEDED"], "2"),
        (["FAILED"], "2"),
        (["STOPPED"], "2"),
        (["RUNNING"], "attach 1"),
        (["SUCCEEDED", "PENDING"], "attach 2"),
    ],
)
def test_a_tick_is_attached_to_only_while_it_runs(before: list[str], expected: str) -> None:
    job = spec("retrain", STORED)
    decided = next_attempt(job, [state(job, status, number) for number, status in enumerate(before, start=1)], False)
    attempt = decided.id.rpartition("-")[2]
    assert (f"attach {attempt}" if isinstance(decided, JobState) else attempt) == expected


def test_a_job_names_its_output() -> None:
    assert spec().metadata["run"] == spec("evaluate").metadata["run"] == "s3://bucket/runs/far"
    assert spec("tune").metadata["run"] == "s3://bucket/runs/far-winner"
    assert spec("retrain", STORED).metadata["run"] == "s3://bucket/models/far"


@pytest.mark.parametrize(
    ("changes", "expected"), [({}, "nothing"), ({"retrain.registry": "models/far"}, "'models/far'")]
)
def test_a_registry_that_the_cluster_cannot_see_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=f"retrain.registry: found {expected}; expected s3://bucket/prefix"):
        spec("retrain", changes)


def test_the_attempt_changes_only_the_id() -> None:
    job = spec()
    decided = next_attempt(job, [state(job, "FAILED")], False)
    assert isinstance(decided, JobSpec) and replace(decided, id=job.id) == job
