"""A cluster of two nodes with a token: submit, status, logs, stop, resume."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from raytl.cli.main import app
from raytl.run import journal

pytestmark = [pytest.mark.ray, pytest.mark.thorough, pytest.mark.timeout(600)]
TOKEN = "a-token-for-tests-0123456789"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ray_start(*words: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
        "RAY_LD_PRELOAD_ON_WORKERS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",  # entrypoints start with `python`
        **(more or {}),
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, "--num-cpus", "1", "--block"]
    command += ["--min-worker-port", "0", "--max-worker-port", "0"]  # any free one: other Rays run on this machine
    for option in ("--dashboard-agent-listen-port", "--dashboard-agent-grpc-port", "--metrics-export-port"):
        command += [] if option in words else [option, str(free_port())]
    if "--head" in words:
        command += ["--ray-client-server-port", str(free_port())]
    return subprocess.Popen(
        [*command, "--object-store-memory", "100000000"], env=env, start_new_session=True, stdout=subprocess.DEVNULL
    )


def answers(url: str, done: Callable[[bytes], bool]) -> None:
    """Wait until `done` accepts the server's answer."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    for _ in range(240):
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if done(answer.read()):
                    return
        except OSError:
            pass
        threading.Event().wait(0.5)
    pytest.fail(f"{url} does not answer as expected")


@contextmanager
def two_nodes(more: Mapping[str, str] | None = None, *words: str) -> Iterator[tuple[str, str]]:
    """Yield the job server's URL and the address of two nodes with one CPU each; `more` is added to their environment,
    `words` to the head's command."""
    gcs, board = free_port(), free_port()
    # Short paths for sockets; one directory each: in a shared one, the second node unpacks a job's code over the running job.
    scratch, other = (tempfile.mkdtemp(prefix="raytl-") for _ in range(2))
    head = ["--head", "--port", str(gcs), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(board)]
    nodes = [ray_start(*head, *words, "--temp-dir", scratch, "--disable-usage-stats", more=more)]
    url = f"http://127.0.0.1:{board}"
    try:
        answers(f"{url}/api/jobs/", lambda body: body.startswith(b"["))
        nodes.append(ray_start("--address", f"127.0.0.1:{gcs}", "--temp-dir", other, more=more))
        answers(f"{url}/nodes?view=summary", lambda body: body.count(b'"ALIVE"') >= 2)
        yield url, f"127.0.0.1:{gcs}"
    finally:
        # killed, because their files are removed anyway: a raylet takes up to twenty seconds to terminate
        for node in reversed(nodes):
            for process in [*psutil.Process(node.pid).children(recursive=True), node]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            node.wait()
        for folder in (scratch, other):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Yield the job server's URL of a cluster of two nodes."""
    with two_nodes() as (url, _):
        yield url


@pytest.fixture
def raytl(cluster: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `raytl WORDS...` against the cluster, with its token."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster)

    def run(*words: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def experiment(make_photos: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a small experiment on directories that every node sees."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"name: tiny\ndata: {{uri: {make_photos(12)}, cache: off}}\n"
        "model: {name: test_resnet, weights: none, preprocess: {image_px: 32}}\n"
        "transfer: {unfreeze: 1, head_first: 1 epoch}\n"
        "train: {epochs: 2, batch_size: 8, early_stop: 0, precision: fp32, deterministic: true}\n"
        f"compute: {{device: cpu, workers: 2}}\nstorage: {{uri: {tmp_path}/runs}}\n"
    )
    return path


@pytest.mark.lengthy
def test_a_tick_retrains_on_the_cluster_and_the_next_one_is_another_job(
    raytl: Callable[..., tuple[int, str, str]], experiment: Path, tmp_path: Path
) -> None:
    words = ("submit", "retrain", experiment, "--code", "checkout", "--wait", "--json", "--set")
    submissions = []
    for _ in range(2):
        code, out, err = raytl(*words, f"retrain.registry={tmp_path}/models")
        assert code == 0, err
        submissions.append((json.loads(out)["id"].rpartition("-")[2], err))
    assert [attempt for attempt, _ in submissions] == ["1", "2"]
    assert "promote" in submissions[0][1] and "unchanged" in submissions[1][1]
    (tmp_path / "blocked").write_text("a file")
    code, out, _ = raytl(*words, f"retrain.registry={tmp_path}/blocked/models")
    assert (code, json.loads(out)["status"]) == (1, "FAILED")


def test_a_stopped_job_is_resumed_and_the_same_submission_attaches(
    raytl: Callable[..., tuple[int, str, str]], experiment: Path, tmp_path: Path
) -> None:
    train = ("submit", "train", experiment, "--set", "train.epochs=40", "--code", "checkout")
    code, out, err = raytl(*train, "--json")
    assert code == 0, err
    job, run = json.loads(out)["id"], tmp_path / "runs" / "tiny"
    metrics = run / "metrics.jsonl"
    for _ in range(600):
        if metrics.exists() and len(journal.read(metrics)) >= 2:
            break
        threading.Event().wait(0.2)
    assert '"RUNNING"' in raytl("status", job, "--json")[1]
    code, out, _ = raytl("stop", job, "--json")
    assert (code, json.loads(out)["status"]) == (0, "STOPPED")
    assert 2 <= len(journal.read(metrics)) < 40

    code, out, err = raytl(*train, "--wait", "--json")
    assert code == 0, err
    done = json.loads(out)
    assert (done["status"], done["exit_code"]) == ("SUCCEEDED", 0)
    assert done["id"] == f"{job.rpartition('-')[0]}-2"
    assert [record["epoch"] for record in journal.read(metrics)] == list(range(1, 41))
    assert "resuming from" in err or "resumed" in err
    assert "epoch 40/40" in err
    assert (run / "manifest.json").exists()

    code, out, err = raytl(*train, "--json")
    assert (code, json.loads(out)["id"]) == (0, done["id"])
    assert "has already succeeded" in err
    assert done["id"] in raytl("jobs")[1]
    assert "tiny: trained, resumed after an interruption" in raytl("logs", done["id"])[1]
    code, out, err = raytl("submit", "evaluate", experiment, "--code", "checkout", "--wait")
    assert code == 0, err
    assert (run / "evaluation" / "test" / "report.md").exists()


def test_a_failed_job_reports_its_error_and_exit_code(
    raytl: Callable[..., tuple[int, str, str]], experiment: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "photos")
    code, out, err = raytl("submit", "train", experiment, "--code", "checkout", "--wait")
    assert code == 2
    assert "does not exist" in err and "exit code" in out


def test_the_job_server_rejects_unauthenticated_requests(
    raytl: Callable[..., tuple[int, str, str]], experiment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = raytl("jobs", "--json")[1]
    monkeypatch.setenv("HOME", str(tmp_path))
    for token in ("wrong", ""):
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
        for words in (
            ("jobs",),
            ("submit", "train", experiment, "--new", "--code", "checkout"),
            ("stop", "x"),
            ("logs", "x"),
        ):
            code, out, err = raytl(*words)
            assert (code, out) == (2, "")
            assert "Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH" in err
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert raytl("jobs", "--json")[1] == before


def test_a_missing_cluster_or_job_is_an_error(raytl: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = raytl("jobs", "--address", "http://127.0.0.1:9")
    assert (code, "no job server answers" in err) == (1, True)
    code, _, err = raytl("status", "nothing")
    assert (code, "no such job" in err) == (2, True)
