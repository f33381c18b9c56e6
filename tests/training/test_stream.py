"""Training on images that stay in their bucket ends as training on the same images that were pulled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from raytl.config.override import override
from raytl.evaluation.evaluate import evaluate
from raytl.run import journal
from raytl.run.run_store import RunStore
from raytl.training.driver import train
from tests.training.conftest import Interrupt, MakeExperiment

pytestmark = pytest.mark.s3


@pytest.mark.thorough
def test_a_streamed_run_is_the_pulled_one_to_the_bit_also_where_it_goes_on(
    make_experiment: MakeExperiment, bucket: str, s3_client: Any, own_cache: Path
) -> None:
    here = make_experiment({"train.epochs": 2}, per_class=10)
    root = Path(here.data.uri)
    for path in root.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"photos/{path.relative_to(root).as_posix()}")
    uri = f"s3://{bucket}/photos"
    pulled = override(here, {"name": "pulled", "data.uri": uri})
    streamed = override(here, {"name": "streamed", "data.uri": uri, "data.stream": True})
    with pytest.raises(KeyboardInterrupt):
        train(streamed, on_event=Interrupt(2, 3))
    train(streamed)
    assert not list(own_cache.rglob("*.jpg"))
    train(pulled)
    one, other = (journal.read(RunStore.of(run).folder.metrics) for run in (streamed, pulled))
    assert [row["train/loss"] for row in one] == [row["train/loss"] for row in other]
    shutil.rmtree(own_cache / "pulled")
    looks = [evaluate(RunStore.of(run).folder.root) for run in (streamed, pulled)]
    assert repr(looks[0].estimates) == repr(looks[1].estimates)  # a class without images has nan
    assert (RunStore.of(streamed).folder.evaluation / "test" / "worst.png").exists() == bool(looks[0].mistakes)
