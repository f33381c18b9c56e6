"""The inputs of a sweep: the advice on few validation images, and what its trials have in common."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.config.space import Space
from raytl.data.sample import Sample
from raytl.errors import RunError
from raytl.labelling.change import TrainChange
from raytl.search.inputs import SweepInputs, _advice, open_study
from raytl.search.preflight import depth_costs, passes
from raytl.training.job import TrainJob

NO_IMAGES = SimpleNamespace(train=[])


@pytest.mark.parametrize(("folds", "val", "said"), [(None, 50, True), (None, 100, False), (3, 50, False)])
def test_folds_are_recommended_for_few_validation_images(folds: int | None, val: int, said: bool) -> None:
    text = _advice(SearchConfig(folds=folds), {"train": 200, "val": val})
    assert bool(text) is said
    assert not said or ("50 validation images" in text and "all 250 images" in text)


def test_the_cost_of_a_trial_counts_turned_copies_and_other_sources() -> None:
    base = Experiment(name="x", data="own.csv", model={"name": "test_vit", "preprocess": {"image_px": 64}})
    made = {"data.synthetic.uri": "made", "data.synthetic.share": 0.5}
    turning = override(base, {"auxiliary.rotation": 0.1})
    assert [passes(each) for each in (base, turning, override(turning, made))] == [1, 2, 4]
    images = [Sample(f"{i}", f"{i}", "ab"[i % 2]) for i in range(4)]
    cached = []
    for experiment in (base, turning):
        job = TrainJob(experiment, "runs", images, images, ("a", "b"), feature_seed=0)
        (cost,) = depth_costs(job, [0], torch.device("cpu"), torch.float32)
        cached.append(cost.cache_bytes > 0)
    assert cached == [True, False], "turned copies pass through the whole network"


def test_a_sweep_resumes_with_the_images_of_other_sources_that_it_began_with(tmp_path: Path) -> None:
    experiment = Experiment(name="x", data="own/", model="m")

    def opened(**digests: str) -> None:
        dataset: Any = SimpleNamespace(digest="abc", depth=SimpleNamespace(recorded={}), splits=NO_IMAGES)
        images = SimpleNamespace(digests=digests)
        plan: Any = SimpleNamespace(dataset=dataset, weights_digest="w", sources=images, changes={})
        open_study(SweepInputs(experiment, plan, 4, Space(()), {}, tmp_path))

    opened(unlabelled="before")
    opened(unlabelled="before")
    with pytest.raises(RunError, match=r"images of unlabelled: before -> after"):
        opened(unlabelled="after")
    with pytest.raises(RunError, match=r"images of unlabelled: before -> -"):
        opened()


def test_a_sweep_resumes_with_the_values_of_auxiliary_columns_that_it_began_with(tmp_path: Path) -> None:
    experiment = Experiment(name="x", data="own.csv", model="m", auxiliary={"columns": ["camera"]})

    def opened(cells: str) -> None:
        train = [Sample(f"{i}", f"{i}", "c", columns=(("camera", cell),)) for i, cell in enumerate(cells)]
        splits = SimpleNamespace(train=train)
        dataset: Any = SimpleNamespace(digest="abc", depth=SimpleNamespace(recorded={}), splits=splits)
        sources = SimpleNamespace(digests={})
        plan: Any = SimpleNamespace(dataset=dataset, weights_digest="w", sources=sources, changes={})
        open_study(SweepInputs(experiment, plan, 4, Space(()), {}, tmp_path))

    opened("abab")
    opened("abab")
    with pytest.raises(RunError, match="values of auxiliary.columns: "):
        opened("abba")


def test_a_sweep_resumes_with_the_label_changes_that_it_began_with(tmp_path: Path) -> None:
    experiment = Experiment(name="x", data="own/", model="m")

    def opened(left_out: str) -> None:
        dataset: Any = SimpleNamespace(digest="abc", depth=SimpleNamespace(recorded={}), splits=NO_IMAGES)
        changes = {("rank", "none", "none"): TrainChange(frozenset({left_out}))}
        sources = SimpleNamespace(digests={})
        plan: Any = SimpleNamespace(dataset=dataset, weights_digest="w", sources=sources, changes=changes)
        open_study(SweepInputs(experiment, plan, 4, Space(()), {}, tmp_path))

    opened("cat/1.jpg")
    opened("cat/1.jpg")
    with pytest.raises(RunError, match=r"label changes of rank, none, none: "):
        opened("cat/2.jpg")
