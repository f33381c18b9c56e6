"""The images that a warm-up learns from, and the labels that draw them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.data.sources import TARGET, UNLABELLED
from raytl.errors import ConfigError
from raytl.training.job import TrainJob
from raytl.training.warmup.images import warmup_images, warmup_note, warmup_samples

TRAIN = [Sample(f"{label}{i}", "p", label, "train", f"d{label}{i}") for label in "ab" for i in range(2)]
SOURCES = {
    TARGET: [Sample("adapt.target:t", "p", None, "train", "x"), Sample("adapt.target:u", "p", None, "train", "y")],
    UNLABELLED: [Sample("data.unlabelled:a1", "p", None, "train", "x"), Sample("l", "p", None, "train", "da1")],
}


def keys(samples: Sequence[Sample]) -> list[str]:
    return [sample.key for sample in samples]


def job(method: str) -> TrainJob:
    experiment = Experiment(name="a", data="x", model="m", warmup={"method": method})
    return TrainJob(experiment, "runs/a", TRAIN, [], ("a", "b"), sources=SOURCES)


def test_each_content_is_learned_from_once_and_the_labelled_images_come_first() -> None:
    assert keys(warmup_samples(TRAIN, SOURCES)) == [*keys(TRAIN), "data.unlabelled:a1", "adapt.target:u"]
    assert keys(warmup_samples(TRAIN, {})) == keys(TRAIN)


def test_copies_among_the_labelled_images_are_no_other_images() -> None:
    copied = [TRAIN[0], Sample("copy", "p", "a", "train", TRAIN[0].digest), *TRAIN[1:]]
    assert keys(warmup_samples(copied, SOURCES)) == keys(warmup_samples(TRAIN, SOURCES))
    own = replace(job("supcon"), train=copied)
    assert warmup_images(own).labels.tolist()[:4] == [0, 0, 1, 1]
    assert "on 6 images, 2 of them without labels" in warmup_note(own.experiment, copied, SOURCES)[0]


def test_simclr_has_no_labels_and_in_supcon_an_image_without_one_is_a_class_of_its_own() -> None:
    assert warmup_images(job("simclr")).labels.tolist() == [0, 1, 2, 3, 4, 5]
    labels = warmup_images(job("supcon")).labels.tolist()
    assert labels[:4] == [0, 0, 1, 1]
    assert len({*labels}) == 4 and not {*labels[4:]} & {0, 1}


@pytest.mark.parametrize(("batch", "workers"), [(4, 2), (6, 4), (128, 4)])
def test_each_worker_needs_two_images_of_a_batch(batch: int, workers: int) -> None:
    settings: dict[str, Any] = {"method": "simclr", "batch_size": 2 * workers}
    experiment = Experiment(name="a", data="x", model="m", warmup=settings, compute={"workers": workers})
    warmup = experiment.warmup.model_copy(update={"batch_size": batch})
    with pytest.raises(ConfigError, match=rf"batches of \d images \(6 images.*compute.workers {workers}: each needs"):
        warmup_note(experiment.model_copy(update={"warmup": warmup}), TRAIN, SOURCES)


def test_a_plan_says_how_long_the_warm_up_is() -> None:
    experiment = Experiment(name="a", data="x", model="m", warmup={"method": "supcon", "epochs": 3, "batch_size": 4})
    (note,) = warmup_note(experiment, TRAIN, SOURCES)
    assert note == ("warmup.method supcon: 3 epochs of 2 steps before training, on 6 images, 2 of them without labels")
    assert warmup_note(Experiment(name="a", data="x", model="m"), TRAIN, SOURCES) == ()
