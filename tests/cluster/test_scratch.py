"""The folder of an embedded Ray goes when its process does, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from raytl.cluster.scratch import remove_left_behind, scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_there_inside_and_gone_after(temporary: Path) -> None:
    with scratch() as folder:
        (folder / "session").mkdir()
        remove_left_behind()
        assert (folder / "session").exists(), "one that is in use was removed"
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(temporary: Path) -> None:
    script = (
        "import os, signal\n"
        "from raytl.cluster.scratch import scratch\n"
        "with scratch():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(temporary.glob("raytl-ray-*"))) == 1
    remove_left_behind()
    assert not list(temporary.glob("raytl-ray-*"))
