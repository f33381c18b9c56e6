"""`raytl runs`: what there is, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.catalog.conftest import put_run
from tests.cli.conftest import Raytl

FAILURE = {"when": "2026-01-03T00:00:00+00:00", "error": "TrainingError", "text": "the loss is NaN\x1b[31m"}


def test_runs_are_listed_with_state_metric_data_and_age(raytl: Raytl) -> None:
    put_run("runs/good")
    put_run("runs/bad", finished=False, files={"failure.json": FAILURE})
    done = raytl("runs")
    assert done.code == 0, done.err
    good = next(line for line in done.out.splitlines() if line.startswith("runs/good"))
    assert good.split()[1:9] == ["run", "finished", "balanced", "accuracy", "75.0", "%", "2/12", "epochs"]
    assert good.endswith(" s")
    assert "runs/bad: TrainingError: the loss is NaN" in done.out
    assert "\x1b" not in done.out


def test_programs_get_every_entry(raytl: Raytl) -> None:
    put_run("elsewhere/good")
    found = json.loads(raytl("runs", "elsewhere/", "--json").out)
    assert found["uri"] == "elsewhere/"
    [entry] = found["runs"]
    assert (entry["uri"], entry["state"], entry["value"], len(entry["snapshot"])) == (
        "elsewhere/good",
        "finished",
        0.75,
        16,
    )


def test_runs_behind_a_link_are_listed_once(raytl: Raytl) -> None:
    put_run("disk/good")
    Path("runs").mkdir()
    Path("runs/there").symlink_to("../disk/good")
    Path("runs/again").symlink_to("../runs")
    found = json.loads(raytl("runs", "--json").out)
    assert [entry["uri"] for entry in found["runs"]] == ["runs/there"]


@pytest.mark.s3
def test_runs_in_a_bucket_are_listed(raytl: Raytl, bucket: str) -> None:
    put_run(f"s3://{bucket}/runs/one")
    done = raytl("runs", f"s3://{bucket}/runs/")
    assert f"s3://{bucket}/runs/one" in done.out


def test_a_place_without_runs_says_so(raytl: Raytl) -> None:
    Path("runs").mkdir()
    assert raytl("runs").out == "no runs in runs/; `raytl train` creates one\n"
    missing = raytl("runs", "nowhere")
    assert missing.code == 2
    assert "nowhere: no such folder" in missing.err


@pytest.mark.s3
def test_an_endpoint_is_given_by_an_option(
    raytl: Raytl, bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(f"s3://{bucket}/runs/one")
    put_run(f"s3://{bucket}/runs/two", (0.9,))
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    listed = raytl("runs", f"s3://{bucket}/runs", "--endpoint-url", s3_server)
    assert "two" in listed.out
    compared = raytl("compare", *(f"s3://{bucket}/runs/{name}" for name in ("one", "two")), "--endpoint-url", s3_server)
    assert "90.0 %" in compared.out
    assert raytl("runs", "runs", "--set", "compute.device=cpu").code == 2
