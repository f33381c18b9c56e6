"""Measuring a bundle: what is measured, on which CPUs, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.bundle import latency
from raytl.bundle.card import read_bundle
from raytl.bundle.latency import bench, call_times_ms, read_photos, started
from raytl.cli.main import app
from raytl.errors import ModelError, UserError
from tests.architecture.sources import REPO
from tests.bundle.tiny import changed_card, tiny_bundle

PROGRAM = """
import json, sys
import raytl
measured = raytl.bench(sys.argv[1], batches=(1, 3), seconds=0.05)
print(json.dumps({"loaded": sorted({"torch", "ray"} & set(sys.modules)), **measured.to_json()}))
"""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the warm-up and the start of a process in this process: these tests look at what is measured, not at the times."""
    monkeypatch.setattr(latency, "_WARM_UP_S", 0.0)
    monkeypatch.setattr(latency, "started", lambda folder, threads, size: (0.5, 10**8))


def test_bench_measures_calls_start_up_size_and_memory_without_torch_and_ray(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, bundle], capture_output=True, text=True, env=environment, check=True
    )
    value: dict[str, Any] = json.loads(done.stdout)
    assert value["loaded"] == []
    assert [each["batch"] for each in value["timings"]] == [1, 3]
    for each in value["timings"]:
        assert each["network_ms"] > 0 and 0 < each["median_ms"] <= each["p99_ms"] and each["calls"] >= 20
        assert each["images_per_s"] == pytest.approx(1000 * each["batch"] / each["median_ms"])
    assert value["bytes"] == (bundle / "model.onnx").stat().st_size
    assert 20e6 < value["memory_bytes"] < 500e6 and value["start_s"] > 0
    assert len(value["cpus"]) == 1 and value["processor"]["name"]


def test_preprocessing_in_the_graph_is_part_of_every_time(tmp_path: Path) -> None:
    (timing,) = bench(tiny_bundle(tmp_path, "photo"), batches=(2,), seconds=0.01).timings
    assert timing.network_ms is None


def test_the_cpus_are_restored(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    bench(tiny_bundle(tmp_path), batches=(1,), seconds=0.01)
    assert os.sched_getaffinity(0) == before


def test_calls_take_turns() -> None:
    order: list[str] = []
    times = call_times_ms([lambda: order.append("a"), lambda: order.append("b")], 0.0)
    assert [len(each) for each in times] == [20, 20]
    assert order[-40:] == ["a", "b"] * 20


def test_given_photos_are_measured(tmp_path: Path) -> None:
    Image.new("RGB", (90, 60), "red").save(tmp_path / "red.png")
    measured = bench(tiny_bundle(tmp_path / "bundle"), batches=(1,), seconds=0.01, photos=tmp_path)
    assert measured.photo_px == (90, 60)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threads": 0}, r"threads: found 0; expected 1 to \d+, the CPUs"),
        ({"threads": 100_000}, "threads: found 100000; expected"),
        ({"batches": ()}, "batch: found none; expected numbers from 1 to 1,024"),
        ({"batches": (1, 0)}, "batch: found 1, 0; expected"),
        ({"seconds": 0}, "seconds: found 0; expected more than 0"),
        ({"seconds": float("nan")}, "seconds: found nan; expected more than 0"),
    ],
)
def test_an_impossible_measurement_is_refused(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=text):
        bench(tmp_path, **options)


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no photos; expected a folder with images"):
        read_photos(tmp_path, {"bits": 16})


def test_a_photo_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"none")
    with pytest.raises(UserError, match=r"broken.png.*remove it"):
        read_photos(tmp_path, {"bits": 16})


def test_a_process_that_cannot_open_the_bundle_says_why(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    changed_card(bundle, read_bundle(bundle), graph="other.onnx")
    with pytest.raises(ModelError, match=r"a new process cannot run it \(.*other.onnx"):
        started(bundle, 1)


def test_drawn_photos_are_the_same_each_time() -> None:
    first, second = latency.drawn_photos(2), latency.drawn_photos(2)
    assert np.array_equal(first[1], second[1]) and first[0].shape == (480, 640, 3)


def test_the_command_prints_the_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", str(tiny_bundle(tmp_path / "color")), "--batch", "1,2", "--seconds", "0.01"]
    app(command, standalone_mode=False)
    text = capsys.readouterr().out
    assert "color, onnx fp32, input crop" in text and "start-up" in text and "network alone" in text
    app([*command, "--json"], standalone_mode=False)
    assert [each["batch"] for each in json.loads(capsys.readouterr().out)["timings"]] == [1, 2]


def test_the_command_refuses_a_batch_that_is_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        app(["bench", str(tmp_path), "--batch", "1,many"])
    assert "--batch 1,many: expected whole numbers" in capsys.readouterr().err
