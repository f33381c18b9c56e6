"""A run in a bucket that only its experiment names: each later call reaches it the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

import raytl
from tests.api.conftest import small
from tests.conftest import write_photos
from tests.search.conftest import write_weights
from tests.store.conftest import fill

BUCKET = "api-runs"


@pytest.mark.s3
@pytest.mark.thorough
def test_a_run_brings_along_how_its_experiment_reaches_buckets(s3_server: str, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 12)
    write_weights(tmp_path)
    files = {f"data/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.jpg")}
    fill(s3_server, BUCKET, files)
    storage = {"uri": f"s3://{BUCKET}/runs", "endpoint_url": s3_server}
    run = raytl.train(small(tmp_path, data=f"s3://{BUCKET}/data", storage=storage), progress=False)
    assert run.uri == f"s3://{BUCKET}/runs/toy"
    assert len(run.history) == 2
    assert run.evaluate(split="val", progress=False).subject.run == "toy"
    assert raytl.evaluate(run, split="val", progress=False).images == run.evaluate(split="val", progress=False).images
    model = raytl.load(run)
    photo = f"s3://{BUCKET}/data/red/000.jpg"
    assert model.predict(photo).probabilities == model.predict(folder / "red" / "000.jpg").probabilities
    assert len(model.predict(f"s3://{BUCKET}/data/red/")) == 12
    assert len(raytl.predict(run, photo, progress=False).paths) == 1
    opened = raytl.Run.open(run.uri, machine=run.machine)
    assert (opened.metrics, opened.path) == (run.metrics, run.path)
