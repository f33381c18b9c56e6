"""drain-on-notice.sh drains once, on the cloud's notice, with the remaining time."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.clusters.files import FOLDER

NOTICE = "/latest/meta-data/spot/instance-action"
PREEMPTED = "/computeMetadata/v1/instance/preempted"


class Metadata(BaseHTTPRequestHandler):
    """Serve a machine's metadata; the second answer is the notice."""

    requests: list[str]

    def do_PUT(self) -> None:
        self._answer(b"token")

    def do_GET(self) -> None:
        self.requests.append(self.path)
        again = self.requests.count(self.path) > 1
        if self.path == PREEMPTED and self.headers["Metadata-Flavor"] == "Google":
            self._answer(b"TRUE" if again else b"FALSE")
        elif self.path == NOTICE and again and self.headers["X-aws-ec2-metadata-token"] == "token":
            self._answer(b'{"action": "terminate"}')
        else:
            self.send_error(404)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    Metadata.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("cloud", "path", "refusals", "seconds"), [("aws", NOTICE, 0, "100"), ("gcp", PREEMPTED, 1, "15")]
)
def test_a_node_is_drained_on_the_clouds_notice_and_not_before(
    cloud: str, path: str, refusals: int, seconds: str, metadata: str, tmp_path: Path
) -> None:
    ray, requests = tmp_path / "ray", tmp_path / "requests"
    ray.write_text(f'#!/bin/sh\necho >> {requests}\n[ "$(wc -l < {requests})" -gt {refusals} ] && echo "$@"\n')
    ray.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "METADATA": metadata}
    done = subprocess.run(
        ["bash", FOLDER / "drain-on-notice.sh", cloud], env=env, capture_output=True, text=True, timeout=30, check=True
    )
    assert Metadata.requests == [path, path]
    assert done.stdout.startswith("drain-node --reason DRAIN_NODE_REASON_PREEMPTION")
    assert done.stdout.split()[-2:] == ["--deadline-remaining-seconds", seconds]


def test_an_unknown_cloud_is_an_error() -> None:
    done = subprocess.run(
        ["bash", FOLDER / "drain-on-notice.sh", "azure"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "expected aws or gcp" in done.stderr) == (2, True)
