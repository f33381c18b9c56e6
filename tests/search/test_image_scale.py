"""Sweeps whose trials have smaller images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raytl.config.load import load_experiment
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError
from raytl.search.driver import plan_sweep, tune
from raytl.search.image_scale import reduced_size
from raytl.search.summary import sweep_root
from tests.search.conftest import MakeSweep

SQUARE = Preprocess(224, 256, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("px", "scale", "step", "expected"),
    [(224, 0.5, 32, 128), (224, 0.75, 32, 160), (224, 0.5, 16, 112), (224, 0.1, 32, 32), (518, 0.5, 14, 252)],
)
def test_a_smaller_side_is_a_multiple_of_patches_or_strides(px: int, scale: float, step: int, expected: int) -> None:
    assert reduced_size(replace(SQUARE, image_px=px), scale, step) == expected


def test_a_frame_keeps_its_shape_as_well_as_multiples_allow() -> None:
    assert reduced_size(SQUARE.fit((640, 480)), 0.5, 32) == (320, 256)


@pytest.mark.parametrize(("px", "scale"), [(32, 0.5), (224, 0.99)])
def test_a_scale_without_effect_is_an_error(px: int, scale: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"search\.image_scale: {scale} of {px} x {px} pixels is .* expected a smaller"
    ):
        reduced_size(replace(SQUARE, image_px=px), scale, 32)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"search.soup": "greedy"}, "a soup of trials would be a model of smaller images"),
        ({"search.folds": 3}, "trials of cross-validation have the full size"),
        ({"search.replicates.top": 0}, "finalists are repeated at the full size"),
        ({"search.space": {"model.preprocess.image_px": {"choice": [32, 64]}}}, "the space varies"),
    ],
)
def test_keys_that_contradict_the_scale_are_errors(
    make_sweep: MakeSweep, changes: dict[str, object], problem: str
) -> None:
    small = {"model.preprocess.image_px": 64, "search.image_scale": 0.5}
    with pytest.raises(ConfigError, match=rf"search\.image_scale: {problem}"):
        plan_sweep(make_sweep(small | changes))


@pytest.mark.thorough
def test_trials_are_small_and_finalists_are_compared_at_the_full_size(make_sweep: MakeSweep) -> None:
    changes = {"model.preprocess.image_px": 64, "search.image_scale": 0.5, "search.trials": 1, "train.epochs": 1}
    experiment = make_sweep(changes | {"search.replicates.top": 1})
    result = tune(experiment)
    root = sweep_root(experiment)
    sizes = {
        folder.name.partition("-seed-")[1]: load_experiment(folder / "experiment.yaml").model.preprocess.image_px
        for folder in (root / "trials").iterdir()
        if (folder / "experiment.yaml").exists()
    }
    assert sizes == {"": 32, "-seed-": 64}
    assert {len(each.scores) for each in result.replicates} == {2}, (
        "one for each seed at the full size, none at the small"
    )
    replicas = [json.loads(line) for line in (root / "replicates.jsonl").read_text().splitlines()]
    assert {each["seed"] for each in replicas} == {0, 1}
    assert result.measured_at == "trials at 32 px; finalists and refit at 64 px"
    assert result.measured_at in (root / "report.html").read_text()
    assert load_experiment(Path(result.experiment_file)).model.preprocess.image_px == 64
