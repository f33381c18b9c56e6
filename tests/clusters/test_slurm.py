"""slurm.sh as Slurm would run it, on one machine that acts as two nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from raytl.run import journal
from tests.clusters import slurm
from tests.clusters.files import FOLDER

pytestmark = [pytest.mark.ray, pytest.mark.thorough, pytest.mark.timeout(600)]
MakePhotos = Callable[..., Path]


def experiment(root: Path, photos: Path, epochs: int) -> Path:
    path = root / "tiny.yaml"
    path.write_text(
        f"name: tiny\ndata: {{uri: {photos}, cache: off}}\n"
        "model: {name: test_resnet, weights: none, preprocess: {image_px: 32}}\n"
        "transfer: {unfreeze: 1, head_first: 1 epoch}\n"
        f"train: {{epochs: {epochs}, batch_size: 8, early_stop: 0, precision: fp32}}\n"
        f"compute: {{device: cpu, workers: 2}}\nstorage: {{uri: {root}/runs}}\n"
    )
    return path


def start(root: Path, file: Path, job: int) -> subprocess.Popen[str]:
    command = ["bash", str(FOLDER / "slurm.sh"), "train", str(file)]
    env = slurm.environment(root, job)
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def left_over(job: int) -> list[str]:
    pgrep = subprocess.run(["pgrep", "-af", f"ray-{job}/"], capture_output=True, text=True, check=False)
    return pgrep.stdout.splitlines()


def submitted_without_token(url: str) -> int | None:
    """Return the job server's answer to a job without the token; None while it does not answer."""
    try:
        with urllib.request.urlopen(url, data=b'{"entrypoint": "true"}', timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return None


def test_a_job_trains_on_its_nodes_rejects_unauthenticated_requests_and_cleans_up(
    make_photos: MakePhotos, tmp_path: Path
) -> None:
    number = slurm.free_job()
    job = start(tmp_path, experiment(tmp_path, make_photos(12), 2), number)
    token = tmp_path / ".raytl-slurm" / f"{number}.token"
    scratch = Path(f"/tmp/ray-{number}")
    mode = answer = files = None
    while job.poll() is None and answer is None:
        if token.exists() and token.stat().st_size:
            mode = token.stat().st_mode & 0o777
            files = (scratch.stat().st_mode & 0o777) if scratch.exists() else None
            answer = submitted_without_token(f"http://127.0.0.1:{slurm.first_port(number) + 1}/api/jobs/")
        threading.Event().wait(0.1)
    output, _ = job.communicate()
    assert (job.returncode, mode, answer) == (0, 0o600, 401), output
    assert "starting 2 worker(s) on the Ray cluster" in output
    assert (tmp_path / "runs" / "tiny" / "manifest.json").exists()
    assert files == 0o700, "other users of the node could replace Ray's files"
    assert not token.exists() and not scratch.exists()
    assert left_over(number) == []


@pytest.mark.lengthy
def test_a_job_out_of_time_is_requeued_and_resumed(make_photos: MakePhotos, tmp_path: Path) -> None:
    file = experiment(tmp_path, make_photos(12), 400)
    first, second = slurm.free_job(), slurm.free_job()
    job = start(tmp_path / "a", file, first)
    metrics = tmp_path / "runs" / "tiny" / "metrics.jsonl"
    until = time.monotonic() + 300
    while (
        job.poll() is None and not (metrics.exists() and len(journal.read(metrics)) >= 2) and time.monotonic() < until
    ):
        threading.Event().wait(0.2)
    assert job.poll() is None, job.communicate()
    os.kill(job.pid, signal.SIGUSR1)
    output, _ = job.communicate(timeout=120)
    assert job.returncode == 0, output
    assert (tmp_path / "a" / "requeued").read_text() == f"{first}\n"
    done = len(journal.read(metrics))
    assert 2 <= done < 400
    assert left_over(first) == []
    again = start(tmp_path / "b", file, second)
    while len(journal.read(metrics)) < done + 2 and again.poll() is None:
        threading.Event().wait(0.2)
    os.kill(again.pid, signal.SIGUSR1)
    output, _ = again.communicate(timeout=120)
    epochs = [record["epoch"] for record in journal.read(metrics)]
    assert epochs == list(range(1, len(epochs) + 1)) and len(epochs) > done, output
