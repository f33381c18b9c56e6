"""Pulls in real processes survive kills, concurrent pulls of the same URI, and a full disk."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import StoreError
from raytl.store import s3
from raytl.store.sync import pull
from tests.store import proxy as faults
from tests.store.conftest import fill
from tests.store.proxy import Proxy, proxied

pytestmark = [pytest.mark.s3, pytest.mark.slow, pytest.mark.thorough]

COUNT = 400
PULL = "import sys; from raytl.store.sync import pull; pull(sys.argv[1])"


@pytest.fixture(scope="module")
def photos(s3_server: str) -> str:
    """The read-only URI of COUNT photos."""
    content = {f"photos/class-{i % 3}/{i}.jpg": bytes([i % 256]) * 3000 for i in range(COUNT)}
    fill(s3_server, "photos-for-kills", content)
    return "s3://photos-for-kills/photos"


@pytest.fixture
def slow(s3_server: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that sends their bytes slowly."""
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        proxy.do(faults.dripping(0.1), lambda request: request.is_get)
        yield proxy
    s3.forget_client()


def whole(folder: Path) -> bool:
    files = sorted(folder.rglob("*"))
    images = [path for path in files if path.is_file()]
    return len(images) == COUNT and all(path.read_bytes() == bytes([int(path.stem) % 256]) * 3000 for path in images)


def pulling(uri: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PULL, uri], env=os.environ)


def gets(proxy: Proxy) -> int:
    return sum(count for what, count in proxy.requests.items() if what.startswith("GET") and what.endswith(".jpg"))


def test_a_pull_killed_ten_times_completes_without_fetching_all_again(slow: Proxy, photos: str) -> None:
    draw = random.Random(0)
    for _ in range(10):
        process, before = pulling(photos), gets(slow)
        until = time.monotonic() + 20
        while gets(slow) < before + draw.randrange(1, 40) and process.poll() is None and time.monotonic() < until:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert whole(pull(photos))
    assert gets(slow) < 3 * COUNT, "files that were whole at a kill were fetched again"


def test_ten_concurrent_pulls_fetch_everything_once(slow: Proxy, photos: str) -> None:
    processes = [pulling(photos) for _ in range(10)]
    assert [process.wait() for process in processes] == [0] * 10
    assert gets(slow) == COUNT
    assert whole(pull(photos))


def test_a_full_disk_is_reported_and_damages_nothing(
    slow: Proxy, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        monkeypatch.setenv("RAYTL_CACHE", str(disk / "cache"))
        slow.do(faults.passed, lambda _: False)
        with pytest.raises(
            StoreError,
            match=r"the disk is full; expected .* run the same command again\. Set RAYTL_CACHE to use a larger disk",
        ):
            pull(photos)
        files = list((disk / "cache").rglob("*.jpg"))
        assert files
        assert all(path.stat().st_size == 3000 for path in files)
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        assert whole(pull(photos))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
