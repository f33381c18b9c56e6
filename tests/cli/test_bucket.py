"""The commands of docs/object-storage.md, as they stand there, on a small experiment."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from raytl.store.open import open_store
from tests.cli.conftest import Ended, Raytl
from tests.conftest import REPO, SWIFT, MakePhotos

FILE = """\
name: tiny
data: {uri: photos}
model: {name: test_resnet, weights: none, preprocess: {image_px: 32}}
transfer: {unfreeze: 1}
train: {epochs: 2, batch_size: 8, precision: fp32}
compute: {cluster: none, device: cpu}
search: {trials: 2, views: 2, replicates: {top: 1, seeds: 1}}
"""
TWO_WORKERS = ("compute.cluster=local", "compute.workers=2", "compute.cpus_per_worker=1")
PAGE = (REPO / "docs" / "object-storage.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Lines:
    """The page's commands on `bucket`, each as on a machine that has nothing yet; `is_guarded` where conditions hold there."""

    raytl: Raytl
    bucket: str
    is_guarded: bool
    machines: Iterator[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, verb: str, *settings: str) -> Ended:
        [text] = re.findall(rf"^raytl ({verb} .*)$", PAGE, re.MULTILINE)
        text = text.replace("experiments/trash-mobilenetv2.yaml", "tiny.yaml").replace("trash-mobilenetv2", "tiny")
        text = text.replace("trash/glass", "trash/red")
        words = shlex.split(text.replace("s3://bucket/", f"s3://{self.bucket}/"))
        self.monkeypatch.setenv("RAYTL_CACHE", next(self.machines))
        ended = self.raytl(*words, *(word for setting in settings for word in ("--set", setting)))
        assert ended.code == 0, ended.err
        return ended

    def keys(self, name: str) -> set[str]:
        """What is stored of a run or a sweep."""
        return {info.key for info in open_store(f"s3://{self.bucket}/runs/{name}").list()}


@pytest.fixture(params=[pytest.param("bucket", marks=[pytest.mark.s3, pytest.mark.thorough], id="s3"), SWIFT])
def lines(
    request: pytest.FixtureRequest,
    raytl: Raytl,
    make_photos: MakePhotos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Lines:
    """The lines, with photos in the bucket."""
    bucket = request.getfixturevalue(request.param)
    (tmp_path / "tiny.yaml").write_text(FILE)
    photos = make_photos(per_class=12)
    for photo in sorted(photos.rglob("*.jpg")):
        open_store(f"s3://{bucket}/trash").put_file(photo, photo.relative_to(photos).as_posix())
    machines = (str(tmp_path / f"machine-{number}") for number in itertools.count())
    return Lines(raytl, bucket, request.param == "bucket", machines, monkeypatch)


def check_used(lines: Lines, trained: Ended, tmp_path: Path) -> None:
    """The run is whole in the bucket, and the page's other commands take it from there."""
    assert trained.err.count("does not support conditional puts") == (not lines.is_guarded)
    assert "tiny: test split" in lines("evaluate").out
    lines("predict")
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 36
    wanted = {"manifest.json", "checkpoints/best/WHOLE.json", "evaluation/test/report.md", "test_ledger.jsonl"}
    assert wanted <= lines.keys("tiny")


@pytest.mark.slow
def test_a_run_in_a_bucket_on_data_in_a_bucket(lines: Lines, tmp_path: Path) -> None:
    trained = lines("train")
    assert "tiny: trained" in trained.out
    check_used(lines, trained, tmp_path)
    assert "error-free answers would do" in " ".join(lines("report").out.split())
    assert "maps     12 maps" in lines("explain").out
    assert {"evaluation/report/operating.json", "evaluation/report/report.html"} <= lines.keys("tiny")
    assert "already finished" in lines("train").out


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_do_the_same(lines: Lines, tmp_path: Path) -> None:
    check_used(lines, lines("train", *TWO_WORKERS), tmp_path)


@pytest.mark.slow
def test_a_sweep_in_a_bucket_on_data_in_a_bucket(lines: Lines) -> None:
    assert "report.html" in lines("tune").out
    assert {"report.html", "trials.csv", "winner.yaml", "study.log"} <= lines.keys("tiny-sweep")
