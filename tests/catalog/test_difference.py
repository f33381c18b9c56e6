"""Config is compared by the keys that decide a result, images by their content."""

from __future__ import annotations

from dataclasses import replace

from raytl.catalog.difference import ConfigChange, config_changes, data_change
from raytl.config.schema import Recipe
from tests.catalog.conftest import BASE, SAMPLES, samples


def recipe(**sections: object) -> Recipe:
    return Recipe.model_validate({**BASE, **sections})


def test_only_keys_that_decide_a_result_are_compared() -> None:
    before = recipe(optim={"lr": 0.001})
    after = recipe(name="other", optim={"lr": 0.01}, train={"checkpoint_every_s": 5})
    assert config_changes(before, after) == (ConfigChange("optim.lr", 0.001, 0.01),)
    assert config_changes(before, before) == ()


def test_a_key_that_takes_effect_in_one_run_only_has_no_value_in_the_other() -> None:
    found = {
        change.key: (change.before, change.after)
        for change in config_changes(recipe(), recipe(transfer={"unfreeze": 0}))
    }
    assert found["transfer.unfreeze"] == (2, 0)
    assert found["transfer.lr_decay"] == (0.6, None)
    focal = config_changes(recipe(), recipe(train={"loss": "focal"}))
    assert ConfigChange("train.focal_gamma", None, 2.0) in focal


def test_a_key_that_an_older_run_lacks_is_no_change() -> None:
    old, new = recipe(transfer={"unfreeze": 3}), recipe(transfer={"unfreeze": 3, "fallback": "off"}, calibrate="none")
    assert config_changes(old, new) == config_changes(new, old) == ()


def test_images_are_found_by_content_whatever_their_names() -> None:
    after = [*samples(("a/1", "b", "train"), ("c/9", "c", "val"), ("a/2", "a", "train")), SAMPLES[3]]
    found = data_change(("s", "t"), SAMPLES, after)
    assert (found.before, found.after, found.images) == ("s", "t", (4, 4))
    assert (found.added, found.removed) == (("c/9",), ("b/1",))
    assert found.relabelled == {"a/1": ("a", "b")}
    assert found.moved == {"a/2": ("test", "train")}


def test_copies_of_an_image_are_compared_one_by_one() -> None:
    one, copy, other = (
        replace(sample, digest="0" * 64)
        for sample in samples(("a", "a", "train"), ("b", "b", "train"), ("c", "a", "train"))
    )
    found = data_change(("s", "t"), [one, copy], [one])
    assert (found.removed, found.added, found.relabelled) == (("b",), (), {})
    found = data_change(("s", "t"), [one, copy], [copy, other])
    assert (found.removed, found.added, found.relabelled) == ((), (), {}), "a was renamed to c"
    found = data_change(("s", "t"), [one], [one, copy, other])
    assert (found.removed, found.added, found.relabelled) == ((), ("b", "c"), {})
