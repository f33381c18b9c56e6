"""Each choice follows from the facts, adapts to what the user set, and has a reason with its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from raytl.models.frozen import FrozenFit, ViewEffect
from raytl.tasks.class_recipe import CLASS_RECIPE, KEYS, choose
from raytl.tasks.recipe import RecipeFacts, epochs_for

SAME = ViewEffect(2, 2)
FACTS = RecipeFacts(
    train=120,
    val=60,
    counts={"a": 60, "b": 60},
    stages=8,
    parameters=2_000_000,
    convolutional=True,
    batchnorm=True,
    frozen=FrozenFit(120, 0.8, 0.5, {"hflip": SAME, "vflip": ViewEffect(9, 2), "rotate90": ViewEffect(9, 2)}),
)


def chosen(**changes: Any) -> dict[str, Any]:
    return {choice.key: choice.value for choice in choose(replace(FACTS, **changes))}


def reason(key: str, **changes: Any) -> str:
    return next(choice.why for choice in choose(replace(FACTS, **changes)) if choice.key == key)


def test_every_choice_is_of_a_known_key_and_has_a_reason() -> None:
    for facts in (FACTS, replace(FACTS, pretrained=False), replace(FACTS, frozen=None, counts={"a": 90, "b": 5})):
        choices = choose(facts)
        assert {choice.key for choice in choices} <= CLASS_RECIPE.keys == set(KEYS)
        assert all(choice.why.endswith(".") for choice in choices)
        assert len({choice.key for choice in choices}) == len(choices)


@pytest.mark.parametrize(("images", "batch"), [(25, 8), (60, 16), (399, 16), (400, 32), (2000, 64)])
def test_the_batch_fits_the_set(images: int, batch: int) -> None:
    assert chosen(train=images)["train.batch_size"] == batch


def test_gradual_unfreezing_gets_the_epochs_to_open_every_stage() -> None:
    given = {"transfer.gradual": True, "transfer.gradual_every": 2}
    values = chosen(train=50_000, stages=13, given=given)
    assert values["train.epochs"] > values["transfer.head_first"] + 12 * 2
    assert values["train.epochs"] - values["transfer.head_first"] <= 13 * 2 + 1
    assert chosen(train=50_000, stages=13, given=given | {"transfer.head_first": 3})["train.epochs"] == 3 + 13 * 2
    assert chosen(train=50_000, stages=13, given=given | {"transfer.unfreeze": 1})["train.epochs"] == 5
    assert "gradual unfreezing" in reason("train.epochs", train=50_000, stages=13, given=given)


def test_the_batch_has_images_for_every_worker_and_micro_batch() -> None:
    assert chosen(workers=16, accumulate=2, train=128)["train.batch_size"] == 64
    assert chosen(workers=16, accumulate=2)["train.batch_size"] == 120  # two steps of 60 would be too few
    assert chosen(workers=40, batchnorm=False)["train.batch_size"] == 40


def test_tiny_sets_get_enough_steps_and_large_ones_enough_epochs() -> None:
    steps = {images: chosen(train=images) for images in (10, 60, 500, 5000, 200_000)}
    done = {n: values["train.epochs"] * -(-n // values["train.batch_size"]) for n, values in steps.items()}
    assert list(done.values()) == sorted(done.values())
    assert done[60] >= 150
    assert steps[200_000]["train.epochs"] == 5
    assert epochs_for(100, 10, 16) == 100


def test_what_is_set_changes_the_rest() -> None:
    assert chosen(given={"train.batch_size": 60})["train.epochs"] > chosen()["train.epochs"]
    one = chosen(given={"train.epochs": 1})
    assert (one["transfer.head_first"], one["optim.warmup"]) == (0, 0.1)
    assert chosen(given={"transfer.head_start": "solved"})["transfer.head_first"] == 0
    assert "train.sampler" not in chosen(counts={"a": 100, "b": 5}, given={"train.class_weights": "balanced"})


def test_the_average_spans_a_tenth_of_the_run() -> None:
    assert chosen(given={"train.epochs": 25, "train.batch_size": 30})["optim.ema"] == 0.9
    assert "optim.ema" not in chosen(given={"train.epochs": 2})


def test_statistics_of_small_batches_are_not_learned() -> None:
    assert chosen()["model.batch_norm"] == "frozen"
    assert "model.batch_norm" not in chosen(batchnorm=False)
    assert "model.batch_norm" not in chosen(train=5000)
    assert "model.batch_norm" not in chosen(pretrained=False)


def test_random_weights_learn_at_one_rate_from_the_start() -> None:
    scratch = chosen(pretrained=False)
    assert (scratch["transfer.unfreeze"], scratch["transfer.lr_decay"], scratch["transfer.head_first"]) == (
        "all",
        1.0,
        0,
    )


def test_a_view_that_changes_the_meaning_is_not_drawn() -> None:
    mirrored = FrozenFit(100, 0.8, 0.1, {"hflip": ViewEffect(20, 4), "vflip": SAME, "rotate90": SAME})
    assert chosen(frozen=mirrored)["augment.hflip"] is False
    assert "20 of 100 images are no longer recognized" in reason("augment.hflip", frozen=mirrored)
    assert "augment.hflip" not in chosen()


def test_a_view_that_changes_nothing_is_drawn_if_enough_images_say_so() -> None:
    same = FrozenFit(100, 0.9, 0.1, {"hflip": SAME, "vflip": SAME, "rotate90": ViewEffect(9, 4)})
    assert chosen(frozen=same)["augment.vflip"] is True
    assert "augment.rotate90" not in chosen(frozen=same)
    assert "augment.vflip" not in chosen(frozen=replace(same, images=99))
    assert not {"augment.hflip", "augment.vflip"} & set(chosen(frozen=None))


def test_rare_classes_are_drawn_as_often_as_others() -> None:
    assert chosen(counts={"a": 100, "b": 20})["train.sampler"] == "balanced"
    assert "100 training images of 'a', 20 of 'b'" in reason("train.sampler", counts={"a": 100, "b": 20})
    assert "train.sampler" not in chosen(counts={"a": 99, "b": 20})
