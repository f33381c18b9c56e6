"""What the recipe chose fills only what is not set, and nothing but the keys of the task."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.choice import Choice
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import RunError
from raytl.tasks import auto_recipe
from raytl.tasks.recipe import RecipeFacts
from raytl.tasks.registry import task_named

EXPERIMENT = Experiment(name="x", data="photos", model="test_resnet", train={"batch_size": 7})
CHOICES = (
    Choice("train.batch_size", 16, "A."),
    Choice("train.epochs", 30, "B."),
    Choice("transfer.unfreeze", 0, "C."),
    Choice("transfer.lr_decay", 0.8, "D."),
    Choice("storage.uri", "elsewhere", "E."),
)


def test_what_is_set_wins_and_idle_and_foreign_keys_are_left_out() -> None:
    whole, taken = auto_recipe.resolved(EXPERIMENT, CHOICES)
    assert (whole.train.batch_size, whole.train.epochs, whole.transfer.unfreeze) == (7, 30, 0)
    assert (whole.recipe, whole.storage.uri) == ("none", "runs/")
    assert [choice.key for choice in taken] == ["train.epochs", "transfer.unfreeze"]


def test_a_choice_that_contradicts_what_is_set_is_left_out() -> None:
    late = override(EXPERIMENT, {"transfer.head_first": 30})
    whole, taken = auto_recipe.resolved(late, (Choice("train.epochs", 12),))
    assert (whole.train.epochs, taken) == (31, ())


def test_nothing_is_open_in_a_resolved_experiment() -> None:
    assert auto_recipe.is_open(EXPERIMENT)
    assert not auto_recipe.is_open(auto_recipe.resolved(EXPERIMENT, CHOICES)[0])


def test_a_folder_gives_back_what_was_chosen_for_it(tmp_path: Path) -> None:
    assert auto_recipe.adopted(tmp_path, EXPERIMENT) is EXPERIMENT
    whole, taken = auto_recipe.resolved(EXPERIMENT, CHOICES)
    auto_recipe.write_choices(tmp_path, taken)
    assert auto_recipe.adopted(tmp_path, EXPERIMENT) == whole


def test_a_run_from_before_there_were_recipes_had_the_fixed_defaults(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("")
    adopted = auto_recipe.adopted(tmp_path, EXPERIMENT)
    assert (adopted.recipe, adopted.train.epochs) == ("none", 12)


def test_an_older_run_of_another_task_had_the_defaults_of_its_task(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("")
    scenes = Experiment(name="x", data="photos", model="test_resnet", task="detection")
    assert auto_recipe.adopted(tmp_path, scenes).train.epochs == 30


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    (tmp_path / auto_recipe.FILE).write_text('{"choices": [{"key": "train.epochs", "value": [], "why": ""}]}')
    with pytest.raises(RunError, match=r"recipe\.json: choices\.0\.value.*start over with --new"):
        auto_recipe.adopted(tmp_path, EXPERIMENT)


@pytest.mark.parametrize(("images", "epochs"), [(8, 60), (40, 40), (300, 30), (9000, 10), (10**6, 6)])
def test_scenes_get_enough_steps_and_no_more_epochs_than_they_need(images: int, epochs: int) -> None:
    task = task_named("detection")
    facts = RecipeFacts(images, 9, {"a": images}, 8, 10**6, True, True, defaults=task.defaults)
    (choice,) = task.recipe.choose(facts)
    assert (choice.key, choice.value) == ("train.epochs", epochs)
