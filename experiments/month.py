"""Simulate a month of retraining in minutes: thirty days on a bucket, one line per day, and a final check of the champions.

    python -m experiments.month [--days 30] [--folder runs/month]

The bucket is a local moto server, the photos are TrashNet's (RAYTL_ASSETS). Ticks that are killed or overlap run in their own
processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from experiments.month_days import BUCKET, DAYS, KILLED, OUTAGE, OVERLAP, ROLLBACK, Month, nothing
from raytl.config.load import load_experiment
from raytl.config.schema import Experiment
from raytl.data.samples import SAMPLE_FORMAT
from raytl.errors import RaytlError
from raytl.evaluation.predict import predict
from raytl.events import ignore
from raytl.metrics.paired import mcnemar
from raytl.registry.reader import folder_of
from raytl.registry.registry import Registry
from raytl.retraining.after import after_tick
from raytl.retraining.publish import recorded_samples
from raytl.retraining.tick import Retraining, retrain
from raytl.retraining.ticks import all_ticks, last_tick
from raytl.store import s3

FILE = Path(__file__).with_name("month.yaml")
FIRST = datetime(2026, 11, 1, 6, tzinfo=UTC)
PATIENCE_S = 600.0


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run a moto server in its own process, and yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "moto.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
        try:
            _wait(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


@dataclass
class Diary:
    """The month: the experiment, and the bucket at `url`."""

    experiment: Experiment
    url: str
    month: Month

    @property
    def registry(self) -> Registry:
        assert self.experiment.retrain.registry is not None
        return Registry.open(self.experiment.retrain.registry)

    def day(self, number: int) -> str:
        """Run one day, and return a line with its changes, the decision of the tick and the reasons."""
        came = DAYS.get(number, nothing)(self.month)
        began, at = time.monotonic(), FIRST + timedelta(days=number - 1)
        if number == ROLLBACK:
            move = self.registry.rollback("a user", "a suspicion", at.isoformat())
            self.registry.rollback("a user", "it was wrong", at.isoformat())
            came = f"a user rolls back to version {move.aliases['champion']}, and forward again"
        if number == KILLED:
            text = self._killed(at)
        elif number == OVERLAP:
            text = self._two(at)
        elif number == OUTAGE:
            text = self._without_bucket(at)
        else:
            text = self._outcome(self._tick(at))
        return f"day {number:>2}  {came:<52}  {text}  [{time.monotonic() - began:.0f} s]"

    def _tick(self, at: datetime) -> Retraining:
        return retrain(self.experiment, now=at, after=after_tick(self.experiment, ignore))

    def _outcome(self, result: Retraining) -> str:
        if result.tick is None:
            return f"another tick is running: {result.held}"
        tick = result.tick
        again = f"(resumed after {tick.interruptions} interruption) " if tick.interruptions else ""
        why = f" [{'; '.join(tick.decision.reasons)}]" if tick.verdict is not None and tick.decision is not None else ""
        return f"{tick.outcome.upper():<8} v{result.champion}  {again}{'; '.join(tick.reasons)}{why}"

    def _started(self, at: datetime) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "raytl", "retrain", str(FILE), "--now", at.isoformat()]
        words += ["--set", f"storage.uri={self.experiment.storage.uri}"]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _killed(self, at: datetime) -> str:
        process, before = self._started(at), self._runs()
        _wait(lambda: any((run / "metrics.jsonl").exists() for run in self._runs() - before))
        process.send_signal(signal.SIGKILL)
        process.wait()
        tick = last_tick(self.registry.store)
        assert tick is not None
        return f"KILLED   v{self.registry.state().champion}  the process of the tick was killed during training, after {tick.stage!r}"

    def _two(self, at: datetime) -> str:
        process = self._started(at)
        _wait(lambda: not getattr(last_tick(self.registry.store), "over", True))
        second = self._outcome(self._tick(at))
        assert process.wait() == 0, "the first tick continues"
        first = last_tick(self.registry.store)
        return self._outcome(Retraining(first, self.registry.state().champion, "")) + f"; the second: {second}"

    def _without_bucket(self, at: datetime) -> str:
        os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
        s3.forget_client()
        try:
            self._tick(at)
            raise AssertionError("the bucket is unreachable")
        except RaytlError as error:
            code, said = error.exit_code, str(error).split("(tried")[0]
        finally:
            os.environ["AWS_ENDPOINT_URL"] = self.url
            s3.forget_client()
        return f"FAILED   v{self.registry.state().champion}  exit code {code}: {said[:90]}..."

    def _runs(self) -> set[Path]:
        return set(Path(self.experiment.storage.uri).glob("*"))


def _wait(done: Any) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until, "the wait timed out"
        threading.Event().wait(0.05)


def checked(diary: Diary) -> None:
    """Check every champion on the last frozen evaluation images: never significantly worse, and not trained on them."""
    registry = diary.registry
    ticks = [tick for tick in all_ticks(registry.store) if tick.comparison is not None]
    content = registry.store.get_bytes(f"work/{ticks[-1].id}/evaluation.jsonl")
    evaluated = list(SAMPLE_FORMAT.lines(content, ticks[-1].id))
    labels, digests = np.array([sample.label for sample in evaluated]), {sample.digest for sample in evaluated}
    history = registry.history()
    champions = [move.aliases["champion"] for move in history if "champion" in move.moved]
    print(
        f"\n{len(registry.numbers())} versions, {len(history)} moves, {len(ticks)} comparisons; champions: {champions}"
    )
    for record in registry.records():
        seen = {s.digest for s in recorded_samples(folder_of(registry, record)) if s.split != "test"}
        assert not seen & digests, f"version {record.number} was trained on evaluation images"
    before: Any = None
    for number in champions:
        if before is not None and before[0] == number:
            continue
        predictions = predict(f"models:{registry.uri}@{number}", [sample.path for sample in evaluated])
        correct = np.array(predictions.predicted) == labels
        text = (
            f"version {number:>2}: {100 * correct.mean():.1f} % of the last {len(evaluated)} frozen evaluation images"
        )
        if before is not None:
            gained, lost = int((correct & ~before[1]).sum()), int((before[1] & ~correct).sum())
            worse = mcnemar(gained, lost)[1]
            text += f"; against version {before[0]}: {gained} gained, {lost} lost, worse with p {worse:.3f}"
            assert worse > 0.05 or number < before[0], "a champion was significantly worse than its predecessor"
        print(text)
        before = number, correct
    index = registry.store.get_bytes("index.html").decode()
    pages = {info.key for info in registry.store.list("pages/")}
    assert all(f"pages/{tick.id}.html" in pages for tick in ticks), "every comparison has a page"
    assert all(f">{number}</a>" in index for number in registry.numbers()), (
        "every version is on the page of the registry"
    )
    print("every version, move and comparison is recorded, and no version was trained on an evaluation image")


def main() -> None:
    """Run the month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=Path("runs/month"))
    given = parser.parse_args()
    folder: Path = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ.update(
        RAYTL_CACHE=str(folder / "cache"), AWS_ACCESS_KEY_ID="month", AWS_SECRET_ACCESS_KEY="month",
        AWS_DEFAULT_REGION="us-east-1",
    )  # fmt: skip
    photos = Path(os.environ.get("RAYTL_ASSETS", "../shared/assets")) / "datasets" / "trashnet_256"
    with served(folder) as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        s3.forget_client()
        s3.client().create_bucket(Bucket=BUCKET)
        experiment = load_experiment(FILE, {"storage.uri": str(folder / "runs")})
        diary, began = Diary(experiment, url, Month.of(photos, s3.client())), time.monotonic()
        for number in range(1, given.days + 1):
            print(diary.day(number), flush=True)
        checked(diary)
        print(f"{(time.monotonic() - began) / 60:.1f} minutes")
        print(f"pages: {_copy_pages(diary.registry, folder)}/index.html")


def _copy_pages(registry: Registry, folder: Path) -> Path:
    """Copy the pages to disk, because the bucket ends with its server."""
    for info in registry.store.list():
        if info.key.endswith(".html"):
            registry.store.get_to_file(info.key, folder / "pages" / info.key, info.size)
    return folder / "pages"


if __name__ == "__main__":
    main()
