"""Parts by actors of an embedded Ray: the same bits, on 1, 2 and 4 CPUs, also when an actor or the driver is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytl.batch_inference import ray_data
from raytl.batch_inference.driver import predict_in_parts
from raytl.batch_inference.places import PartOptions
from raytl.batch_inference.plan import Part
from raytl.batch_inference.ray_data import Pool, predict_parts
from raytl.batch_inference.sizing import Sizing
from raytl.batch_inference.stall import Limits
from raytl.cluster.session import session
from raytl.config.machine import Machine
from raytl.config.schema import ComputeConfig
from raytl.errors import DataError, RaytlError, WorkerFailed, WorkersLost
from raytl.evaluation.predict import predict
from raytl.events import Event, Message, Recorder, Work, ignore
from tests.conftest import MakePhotos

EMBEDDED = Machine(compute=ComputeConfig(cluster="embedded"))


def tables(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(out.glob("part-*.parquet"))])


@pytest.fixture
def cpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of CPUs that a Ray started here, and this process, believe to have."""
    import ray

    count, init = int(request.param), ray.init
    monkeypatch.setattr(ray, "init", lambda **given: init(**given, num_cpus=count))
    monkeypatch.setattr("raytl.batch_inference.driver.usable_cpus", lambda: count)
    return count


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.parametrize("cpus", [2], indirect=True)
def test_two_actors_give_the_same_bits(model: Path, photos: Path, tmp_path: Path, cpus: int) -> None:
    watcher = Recorder()
    whole = predict(model, photos, out=tmp_path / "whole.parquet", batch_size=4)
    parts = PartOptions(workers=2, part_size=4)
    found = predict_in_parts(model, photos, out=tmp_path / "out", parts=parts, batch_size=4, on_event=watcher)
    assert tables(tmp_path / "out").equals(pq.read_table(tmp_path / "whole.parquet"))
    assert (found.counts, found.unreadable, len(found.parts)) == (whole.counts, whole.unreadable, 8)
    assert Message("predicting 8 parts with 2 actors of 1 CPU each") in watcher.events
    assert [event.done for event in watcher.events if isinstance(event, Work)][-1] == 30


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.parametrize(
    "cpus", [pytest.param(1, marks=pytest.mark.lengthy), 2, pytest.param(4, marks=pytest.mark.lengthy)], indirect=True
)
def test_no_number_of_cpus_stalls(model: Path, photos: Path, tmp_path: Path, cpus: int) -> None:
    out, parts = tmp_path / "out", PartOptions(part_size=4)
    found = predict_in_parts(model, photos, out=out, parts=parts, batch_size=4, machine=EMBEDDED)
    assert found.photos == 29


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.parametrize("cpus", [2], indirect=True)
def test_an_actor_that_is_killed_costs_no_row(model: Path, make_photos: MakePhotos, tmp_path: Path, cpus: int) -> None:
    photos, killed = make_photos(per_class=100, px=96), list[int]()

    def kill(event: Event) -> None:
        if isinstance(event, Work) and event.done and not killed:
            actors = [
                each for each in psutil.Process().children(recursive=True) if "MapWorker" in " ".join(each.cmdline())
            ]
            actors[0].kill()
            killed.append(actors[0].pid)

    predict(model, photos, out=tmp_path / "whole.parquet", batch_size=4)
    parts = PartOptions(workers=2, part_size=8)
    predict_in_parts(model, photos, out=tmp_path / "out", parts=parts, batch_size=4, on_event=kill)
    assert killed
    assert tables(tmp_path / "out").equals(pq.read_table(tmp_path / "whole.parquet"))


@contextmanager
def command(model: Path, photos: Path, out: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "raytl", "predict", str(model), str(photos), "--out", f"{out}/"]
    with log.open("wb") as file:
        process = subprocess.Popen([*words, "--workers", "2", "--part-size", "16"], stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def await_parts(process: subprocess.Popen[bytes], out: Path) -> None:
    """Wait until some part is finished."""
    until = time.monotonic() + 400
    while not list(out.glob("_parts/*.json")):
        assert process.poll() is None and time.monotonic() < until, "no part was finished"
        threading.Event().wait(0.005)


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.timeout(900)  # three processes import torch and start Ray, slow on a machine that is busy
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGKILL, -9), pytest.param(signal.SIGINT, 130, marks=pytest.mark.lengthy)]
)
def test_a_driver_that_is_stopped_is_resumed(
    model: Path, make_photos: MakePhotos, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    photos, out, log = make_photos(per_class=200, px=128), tmp_path / "out", tmp_path / "log"
    predict(model, photos, out=tmp_path / "whole.parquet")
    with command(model, photos, out, log) as process:
        await_parts(process, out)
        process.send_signal(sent)
        assert process.wait(60) == code
    assert not (out / "_SUCCESS").exists(), "it was over before it was stopped"
    if sent is signal.SIGINT:
        assert "the same command resumes" in log.read_text()
    with command(model, photos, out, log) as process:
        assert process.wait(400) == 0, log.read_text()
    assert "parts are finished; predicting the other" in log.read_text()
    assert tables(out).equals(pq.read_table(tmp_path / "whole.parquet"))


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.parametrize("cpus", [2], indirect=True)
def test_what_cannot_be_placed_is_said_and_ends(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_data, "_ANSWER_S", 5.0)
    job: Any = None
    pool = Pool(Sizing(2, 3), Limits(start_s=2.0, progress_s=600), 3)
    part: Any = Part(0, ("a.jpg",), "0" * 64)
    with (
        session("embedded"),
        pytest.raises(WorkersLost, match=r"wanted: 2 actors of 3 CPUs each; free: 2 of 2 CPUs; .*resumes"),
    ):
        predict_parts(job, [part], pool, lambda *_: None, lambda _: None, ignore)


def test_errors_of_actors_are_translated() -> None:
    class Wrapped(Exception):
        def __init__(self, cause: BaseException) -> None:
            super().__init__("a text of Ray's")
            self.cause = cause

    own = DataError("photos: none")
    assert ray_data._translated(Wrapped(own)) is own
    other: RaytlError = ray_data._translated(Wrapped(ValueError("seven\nlines")))
    assert isinstance(other, WorkerFailed)
    assert str(other) == "an actor failed with ValueError: seven. Finished parts are kept"
