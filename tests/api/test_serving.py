"""`raytl.serve`: from Python as from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import raytl
from tests.architecture.sources import REPO
from tests.serving.bundles import write_bundle

PROGRAM = """
import sys, urllib.request, signal, os
import raytl

def on_ready(uri):
    print(uri, flush=True)

raytl.serve(sys.argv[1], port=0, on_ready=on_ready, progress=False)
print("stopped", *sorted({"torch", "ray"} & set(sys.modules)), flush=True)
"""


def test_it_serves_until_sigterm_without_torch_and_ray(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "colours")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=os.environ | {"PYTHONPATH": str(REPO)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0].splitlines() == ["stopped"]
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"host": "0.0.0.0"}, "RAYTL_SERVE_TOKEN is not set"),
        ({"replicas": "1:2"}, "--replicas 1:2: has no effect without --ray"),
        ({"address": "auto"}, "--address auto: has no effect without --ray"),
        ({"allow": ["photos"]}, "expected s3://bucket/prefix"),
        ({}, "no such folder; expected a bundle"),
    ],
)
def test_wrong_options_are_errors(tmp_path: Path, options: dict[str, object], reason: str) -> None:
    with pytest.raises(raytl.UserError, match=reason):
        raytl.serve(tmp_path / "none", port=0, **options)  # type: ignore[arg-type]
