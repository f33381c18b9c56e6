"""Dense trials that share the maps below the freeze boundary learn what they would learn from pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.events import ignore
from raytl.run import journal
from raytl.search import feature_cache
from raytl.search.feature_cache import cached_features
from raytl.training.driver import plan
from raytl.training.job import TrainJob
from raytl.training.worker import load_run, prepare
from raytl.world import World
from tests.search.conftest import write_weights
from tests.training.scenes import toy_task, write_scenes

TASKS = ["detection", *(pytest.param(task, marks=pytest.mark.thorough) for task in ("segmentation", "instances"))]
DEPTHS = [0, pytest.param(2, marks=pytest.mark.thorough)]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def job(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the job of a task at a depth; a cache always pays."""
    monkeypatch.setattr(feature_cache._Source, "pays", lambda _: True)

    def make(task: str, depth: int) -> TrainJob:
        changes = {
            "model.weights": str(write_weights(tmp_path)), "transfer.unfreeze": depth, "augment.strength": 1.0,
            "train.epochs": 2, "search.views": 2,
        }  # fmt: skip
        run_plan = plan(toy_task(task, scenes, tmp_path / "runs", changes))
        splits = run_plan.dataset.splits
        return TrainJob(run_plan.experiment, "", splits.train, splits.val, splits.classes)

    return make


def fitted(job: TrainJob, location: Path, *, cached: bool) -> list[dict[str, float]]:
    """Return the scores of each epoch, trained from pixels or from `cached` maps of the same views."""
    seed = job.experiment.train.seed if cached else None
    run = load_run(World.solo(), replace(job, location=str(location), feature_seed=seed), ignore)
    features = cached_features(run)
    assert (features is not None) == cached
    prepared = prepare(run, features, tensorboard=False)
    prepared.fit()
    prepared.close()
    records = journal.read(run.run_store.folder.metrics)
    return [
        {k: v for k, v in each.items() if k.startswith(("train/loss", "val/")) and "second" not in k}
        for each in records
    ]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("task", TASKS)
def test_cached_maps_give_the_losses_and_scores_of_pixels(task: str, depth: int, job: Any, tmp_path: Path) -> None:
    made = job(task, depth)
    pixels, maps = (fitted(made, tmp_path / str(cached), cached=cached) for cached in (False, True))
    for one, other in zip(pixels, maps, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_targets_that_do_not_move_with_their_view_give_other_losses(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job("detection", 0)
    pixels = fitted(made, tmp_path / "pixels", cached=False)
    of_view = feature_cache.augmented_target
    monkeypatch.setattr(feature_cache, "augmented_target", lambda *values: of_view(*values[:-2], 0, values[-1]))
    still = fitted(made, tmp_path / "maps", cached=True)
    assert np.isclose(still[0]["train/loss"], pixels[0]["train/loss"], rtol=1e-4)
    assert not np.isclose(still[1]["train/loss"], pixels[1]["train/loss"], rtol=1e-3)
