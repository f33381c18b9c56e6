"""The inputs of a sweep: the advice on few validation images, and what its trials have in common."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.config.shape import all_keys, keys_of
from raytl.config.space import Dimension, Space
from raytl.data.sample import Sample
from raytl.errors import ConfigError, RunError
from raytl.events import Message, Recorder
from raytl.labelling.change import TrainChange
from raytl.search import preflight
from raytl.search.inputs import (
    SweepInputs,
    _advice,
    _by_key,
    _check_space,
    _learned_columns,
    _storage_fault,
    ended_trials,
    open_study,
)
from raytl.search.passes import Passes, passes
from raytl.search.preflight import depth_costs
from raytl.search.protocol import TrialResult
from raytl.training.job import TrainJob

NO_IMAGES = SimpleNamespace(train=[])


@pytest.mark.parametrize(("folds", "val", "said"), [(None, 50, True), (None, 100, False), (3, 50, False)])
def test_folds_are_recommended_for_few_validation_images(folds: int | None, val: int, said: bool) -> None:
    text = _advice(SearchConfig(folds=folds), {"train": 200, "val": val})
    assert bool(text) is said
    assert not said or ("50 validation images" in text and "all 250 images" in text)


@pytest.mark.parametrize(
    ("storage", "uri", "is_unsafe"),
    [("sqlite", "s3://bucket/runs", True), ("journal", "s3://bucket/runs", False), ("sqlite", "runs", False)],
)
def test_a_database_file_in_a_bucket_is_a_warning(storage: str, uri: str, is_unsafe: bool) -> None:
    experiment = override(BASE, {"search.storage": storage, "storage.uri": uri})
    assert bool(_storage_fault(experiment)) is is_unsafe


BASE = Experiment(name="x", data="own.csv", model={"name": "test_vit", "preprocess": {"image_px": 64}})


def test_every_key_of_an_experiment_can_be_a_condition() -> None:
    keys = [key for key in all_keys() if not keys_of(key.split("."))]
    base = _by_key(BASE.model_dump())
    assert len(keys) > 100 and set(keys) <= base.keys()
    assert (base["few.fixmatch.ratio"], base["optim.lr"]) == (BASE.few.fixmatch.ratio, BASE.optim.lr)


MADE = {"data.synthetic.uri": "made", "data.synthetic.share": 0.5}
TURNING = override(BASE, {"auxiliary.rotation": 0.1})
FIXMATCH = override(BASE, {"data.unlabelled": "all", "few.method": "fixmatch"})


def choice(key: str, *values: Any) -> Dimension:
    return Dimension(key, "choice", choices=values)


@pytest.mark.parametrize(
    ("experiment", "dimensions", "expected"),
    [
        (BASE, (), Passes(1, 1, 1, 0)),
        (TURNING, (), Passes(2, 2, 0, 1)),
        (override(TURNING, MADE), (), Passes(4, 4, 0, 1)),
        (FIXMATCH, (), Passes(5, 5, 0, 0)),
        (BASE, (choice("auxiliary.rotation", 0, 0.1, 0.3),), Passes(1 + 2 / 3, 2, 1 / 3, 2 / 3)),
        (FIXMATCH, (choice("few.method", "none", "fixmatch"), choice("few.fixmatch.ratio", 1, 7)), Passes(5, 15, 0.5, 0)),
        (BASE, (choice("adapt.method", "none", "dann", "centroids"),), Passes(1 + 1 / 3, 2, 2 / 3, 0)),
        (override(BASE, MADE), (Dimension("data.synthetic.share", "float", 0, 0.5),), Passes(1.3795, 2, 0, 0)),
        (BASE, (choice("adapt.style.probability", 0, 0.5),), Passes(1, 1, 0.5, 0)),
    ],
)  # fmt: skip
def test_images_beside_labelled_ones_are_those_that_trials_draw(
    experiment: Experiment, dimensions: tuple[Dimension, ...], expected: Passes
) -> None:
    found = passes(experiment, Space(dimensions))
    assert astuple(found) == pytest.approx(astuple(expected), rel=1e-4)


def test_the_cost_of_a_trial_counts_turned_copies_of_its_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_step", lambda job, network, inputs, *_: 1.0 if inputs.ndim == 4 else 0.1)
    monkeypatch.setattr(preflight, "_forward", lambda network, inputs, *_: 0.25 if inputs.ndim == 4 else 0.01)
    images = [Sample(f"{i}", f"{i}", "ab"[i % 2]) for i in range(4)]
    job = TrainJob(BASE, "runs", images, images, ("a", "b"), feature_seed=0)
    space = Space((choice("auxiliary.rotation", 0, 0.1),))
    costs = [
        depth_costs(job, [0], torch.device("cpu"), torch.float32, each)[0]
        for each in (passes(BASE, Space(())), passes(BASE, space), passes(TURNING, Space(())))
    ]
    plain, drawn, turning = [4 * 0.1 + 4 * 0.01, 0.5 * (4 * 0.1 + 4 * 0.01) + 0.5 * (8 + 8 * 0.25), 8 + 8 * 0.25]
    assert [cost.epoch_s for cost in costs] == pytest.approx([plain, drawn, turning])
    assert [cost.most_s for cost in costs] == pytest.approx([plain, turning, turning])
    assert [cost.cache_bytes > 0 for cost in costs] == [True, True, False], "copies pass through the whole network"


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


def test_the_trials_of_an_interrupted_sweep_count_as_ended_in_a_plan(tmp_path: Path) -> None:
    search = {"sampler": "random", "recipes": False}
    dataset: Any = SimpleNamespace(digest="abc", depth=SimpleNamespace(recorded={}), splits=NO_IMAGES)
    plan: Any = SimpleNamespace(dataset=dataset, weights_digest="w", sources=SimpleNamespace(digests={}), changes={})
    space = Space((Dimension("optim.lr", "log", 1e-4, 1e-2),))
    inputs = SweepInputs(Experiment(name="x", data="own/", model="m", search=search), plan, 4, space, {}, tmp_path)
    assert ended_trials(inputs) == 0 and not list(tmp_path.iterdir())
    study = open_study(inputs)
    for number in range(3):
        assert study.ask() is not None
        if number < 2:
            study.tell(number, "failed", TrialResult("failed"))
    assert ended_trials(inputs) == 2
    other = replace(inputs, plan=SimpleNamespace(**vars(plan) | {"weights_digest": "v"}))
    with pytest.raises(RunError, match="weights: w -> v"):
        ended_trials(other)


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


@pytest.mark.parametrize(
    ("weight", "space", "expected"),
    [(0.3, None, ["site"]), (0, None, []), (0, {"auxiliary.weight": {"choice": [0, 0.3]}}, ["site"])],
)
def test_columns_that_no_trial_learns_are_not_noted(weight: float, space: Any, expected: list[str]) -> None:
    changes = {"auxiliary.columns": ["site"], "auxiliary.weight": weight, "search.space": space}
    assert _learned_columns(override(BASE, changes)) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("transfer.head_first", {"int": [0, 3]}),
        ("transfer.head_start", {"choice": ["zero", "solved"]}),
        ("model.name", {"choice": ["test_vit", "test_resnet"]}),
    ],
)
def test_a_key_that_contradicts_the_head_of_all_trials_is_refused(
    tmp_path: Path, key: str, value: dict[str, Any]
) -> None:
    experiment = override(BASE, {"search.space": {"optim.lr": {"log": [1e-4, 1e-2]}, key: value}})
    events, folder = Recorder(), tmp_path / "sweep"
    with pytest.raises(ConfigError, match=f"found {key}, and search.linear_probe is true.*Remove {key}"):
        _check_space(experiment, folder, events)
    _check_space(override(experiment, {"search.linear_probe": False}), folder, events)
    assert not events.events
    folder.mkdir()
    (folder / "study.log").touch()
    _check_space(experiment, folder, events)
    assert [event.level for event in events.events if isinstance(event, Message)] == ["warning"]


def test_a_condition_with_a_word_that_a_key_never_has_is_refused(tmp_path: Path) -> None:
    space = {"optim.lr": {"log": [1e-4, 1e-2], "when": "train.sampler == balancd"}}
    experiment, events, folder = override(BASE, {"search.space": space}), Recorder(), tmp_path / "sweep"
    with pytest.raises(ConfigError, match=r"train\.sampler is never balancd; expected shuffle or balanced"):
        _check_space(experiment, folder, events)
    folder.mkdir()
    (folder / "study.log").touch()
    _check_space(experiment, folder, events)
    assert [event.level for event in events.events if isinstance(event, Message)] == ["warning"]
