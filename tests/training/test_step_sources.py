"""How many images of each source a step takes, and which sources an experiment needs."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.training.step_sources import counts, labelled_batch, labels_only, ratios, source_keys

BASE = {
    "name": "a",
    "data": {"uri": "x", "unlabelled": "y", "synthetic": {"uri": "made", "share": 0.25}},
    "model": {"name": "m"},
    "train": {"batch_size": 64},
}


def experiment(changes: dict[str, Any]) -> Experiment:
    target = {"adapt.target": "z"} if "adapt." in str(changes) else {}
    return override(Experiment.model_validate(BASE), {**changes, **target})


def test_made_images_have_their_share_of_a_full_batch() -> None:
    assert labelled_batch(experiment({})) == 48
    assert counts(experiment({}), images=480) == {"data.synthetic": 16}
    assert counts(experiment({}), images=24) == {"data.synthetic": 8}, "of a batch of 24 real images too"


def test_a_share_of_zero_takes_none() -> None:
    without = experiment({"data.synthetic.share": 0})
    assert ratios(without) == {} and labelled_batch(without) == 64
    assert source_keys(without) == {"data.synthetic"}, "a trial may have another share"


def test_other_sources_are_in_proportion_to_all_labelled_images() -> None:
    both = experiment({"few.method": "fixmatch", "few.fixmatch.ratio": 3, "adapt.method": "coral"})
    assert counts(both, 480) == {"data.synthetic": 16, "data.unlabelled": 192, "adapt.target": 64}


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"optim.lr": {"log": [1e-4, 1e-2]}}, set()),
        ({"few.method": {"choice": ["none", "fixmatch"]}}, {"data.unlabelled"}),
        ({"adapt.method": {"choice": ["none", "centroids"]}}, set()),
        ({"adapt.method": {"choice": ["none", "mmd"]}}, {"adapt.target"}),
        ({"adapt.style.probability": {"float": [0, 0.5]}}, {"adapt.target"}),
    ],
)
def test_what_a_trial_may_take_is_read(space: dict[str, Any], expected: set[str]) -> None:
    assert source_keys(experiment({"search.space": space})) == {"data.synthetic", *expected}


@pytest.mark.parametrize("changes", [{"adapt.method": "adabn"}, {"adapt.style.probability": 0.5}])
def test_a_style_and_a_method_after_training_read_the_target_and_take_none_of_it_in_steps(
    changes: dict[str, Any],
) -> None:
    assert source_keys(experiment(changes)) == {"data.synthetic", "adapt.target"}
    assert ratios(experiment(changes)).keys() == {"data.synthetic"}


def test_a_warm_up_takes_the_sources_that_are_there() -> None:
    warm = {"warmup.method": "simclr"}
    assert source_keys(experiment(warm)) == {"data.synthetic", "data.unlabelled"}
    assert source_keys(experiment({**warm, "adapt.target": "z"})) == {
        "data.synthetic",
        "data.unlabelled",
        "adapt.target",
    }
    assert source_keys(experiment({**warm, "data.unlabelled": None})) == {"data.synthetic"}
    assert ratios(experiment({**warm, "data.synthetic.uri": None})) == {}, "steps of training take none of them"
    assert labels_only(experiment(warm)).warmup.method == "none"


def test_a_network_that_learns_labels_only_takes_no_other_source() -> None:
    both = experiment({"few.method": "fixmatch", "adapt.method": "dann", "adapt.style.probability": 0.5})
    assert ratios(labels_only(both)) == {} and source_keys(labels_only(both)) == set()
    assert labelled_batch(labels_only(both)) == 64


def test_a_network_that_learns_labels_only_has_no_auxiliary_head() -> None:
    heads = {"auxiliary.columns": ["camera"], "auxiliary.weight": "uncertainty", "auxiliary.rotation": 0.1}
    alone = labels_only(experiment({**heads, "data.uri": "x.csv"})).auxiliary
    assert alone.columns == [] and alone.rotation == 0
