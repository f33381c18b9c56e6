"""The schedule files, run as far as possible here: the starter of RayJobs, the crontab line, the systemd units."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.clusters import schedules
from tests.clusters.files import FOLDER, documents, templates, text_of

CRON = text_of("kuberay-cronjob.yaml")
RAYJOBS = "/apis/ray.io/v1/namespaces/raytl/rayjobs"


class Kubernetes(BaseHTTPRequestHandler):
    """Serve the part of Kubernetes' API that the starter uses; `statuses` are the RayJob's, one per poll."""

    created: dict[str, dict[str, object]]
    statuses: list[dict[str, str]]
    refuses = 0

    def do_POST(self) -> None:
        body = yaml.safe_load(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        if self.headers["Authorization"] != "Bearer the-token" or self.refuses:
            return self._answer(self.refuses or 401, {"message": "no"})
        if self.path != RAYJOBS or name in self.created:
            return self._answer(409, {"message": "already exists"})
        self.created[name] = body
        return self._answer(201, body)

    def do_GET(self) -> None:
        name = self.path.removeprefix(f"{RAYJOBS}/")
        if name not in self.created:
            return self._answer(404, {"message": "not found"})
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status.get("jobDeploymentStatus") == "deleted":
            return self._answer(404, {"message": "not found"})
        return self._answer(200, {**self.created[name], "status": status})

    def _answer(self, code: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def kubernetes(*statuses: tuple[str, str], **more: object) -> Iterator[tuple[type[Kubernetes], str]]:
    states = [{"jobDeploymentStatus": deployment, "jobStatus": job} for deployment, job in statuses]
    handler = type("Handler", (Kubernetes,), {"created": {}, "statuses": [{}, *states], **more})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def start(address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the starter's container as Kubernetes does."""
    container = templates(CRON)[-1]["spec"]["containers"][0]
    config = next(one for one in documents(CRON) if one["kind"] == "ConfigMap")
    (folder / "rayjob.yaml").write_text(config["data"]["rayjob.yaml"])
    (folder / "token").write_text("the-token")
    (folder / "ca.crt").touch()
    environment = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert environment["MANIFEST"].endswith("/rayjob.yaml")
    environment |= {"API": address, "ACCOUNT": str(folder), "MANIFEST": str(folder / "rayjob.yaml"), "POLL_S": "0.01"}
    environment |= {"JOB_NAME": "raytl-29384640", "JOB_UID": "0a1b-2c", "PATH": os.environ["PATH"]}
    return subprocess.run(
        container["command"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_tick_is_a_rayjob_owned_by_its_job_and_with_its_result(tmp_path: Path) -> None:
    with kubernetes(("Initializing", ""), ("Running", "RUNNING"), ("Complete", "SUCCEEDED")) as (cluster, address):
        ended = start(address, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    (created,) = cluster.created.values()
    about = created["metadata"]
    assert isinstance(about, dict) and about["name"] == "raytl-29384640-tick"
    assert about["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "raytl-29384640", "uid": "0a1b-2c"}
    ]
    assert ended.stdout.splitlines()[0] == "rayjob/raytl-29384640-tick created"
    assert ended.stdout.splitlines()[-1] == "rayjob/raytl-29384640-tick: Complete SUCCEEDED"


@pytest.mark.parametrize(
    "end", [("Failed", "FAILED"), ("ValidationFailed", ""), ("Complete", "STOPPED"), ("Failed", "")]
)
def test_a_failed_tick_fails_its_job(end: tuple[str, str], tmp_path: Path) -> None:
    with kubernetes(("Running", "RUNNING"), end) as (_, address):
        ended = start(address, tmp_path)
    assert ended.returncode == 1 and end[0] in ended.stdout


def test_a_replacement_pod_creates_no_second_rayjob(tmp_path: Path) -> None:
    with kubernetes(("Complete", "SUCCEEDED")) as (cluster, address):
        assert [start(address, tmp_path).returncode for _ in range(2)] == [0, 0]
        assert len(cluster.created) == 1


def test_a_refused_or_deleted_rayjob_fails_its_job(tmp_path: Path) -> None:
    with kubernetes(("Running", "RUNNING"), refuses=403) as (_, address):
        ended = start(address, tmp_path)
    assert ended.returncode == 1 and '"no"' in ended.stderr
    with kubernetes(("Running", "RUNNING"), ("deleted", "")) as (_, address):
        ended = start(address, tmp_path)
    assert ended.returncode != 0 and "404" in ended.stderr


@pytest.mark.parametrize(("code", "output"), [(0, ""), (1, "what it said\nand why\n"), (2, "what it said\nand why\n")])
def test_cron_mails_the_output_of_a_failed_tick(code: int, output: str, tmp_path: Path) -> None:
    raytl = tmp_path / "raytl"
    raytl.write_text(
        f'#!/bin/bash\n[ "$KEY" = "value?a=1&b=2" ] || exit 99\necho what it said\necho and why >&2\nexit {code}\n'
    )
    raytl.chmod(0o755)
    (tmp_path / "retrain.env").write_text("KEY='value?a=1&b=2'\n")
    when, user, line = schedules.crontab(text_of("retrain.crontab"))
    assert (when, user, "%" in line) == ("0 6 * * *", "raytl", False)
    line = line.replace("/opt/raytl/.venv/bin/raytl", str(raytl)).replace(
        "/etc/raytl/retrain.env", f"{tmp_path}/retrain.env"
    )
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, output, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_accepts_the_units_and_refuses_an_invalid_one(tmp_path: Path) -> None:
    for name in ("retrain.service", "retrain.timer"):
        text = (FOLDER / name).read_text().replace("/opt/raytl/.venv/bin/raytl", "/bin/true")
        (tmp_path / name).write_text(text)
        (tmp_path / f"wrong-{name}").write_text(
            text.replace("KillMode=", "KilMode=").replace("OnCalendar=", "OnCalendar=x")
        )
    assert verified(tmp_path, "retrain.service", "retrain.timer") == ""
    assert "KilMode" in verified(tmp_path, "wrong-retrain.service")
    assert "Failed to parse calendar" in verified(tmp_path, "wrong-retrain.timer")


def verified(folder: Path, *names: str) -> str:
    ran = subprocess.run(
        ["systemd-analyze", "verify", *(folder / name for name in names)], capture_output=True, check=False
    )
    return "\n".join(line for line in (ran.stdout + ran.stderr).decode().splitlines() if str(folder) in line)


def test_airflow_submits_to_the_cluster_and_waits() -> None:
    dag, task = schedules.airflow(text_of("airflow-retrain.py"))
    assert (dag["dag_id"], dag["schedule"], task["append_env"]) == ("retrain", "0 6 * * *", True)
    assert schedules.words("airflow-retrain.py", text_of("airflow-retrain.py")) == [
        "submit", "retrain", "/etc/raytl/experiment.yaml", "--code", "image", "--wait"
    ]  # fmt: skip
