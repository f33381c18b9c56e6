"""One pure function of overrides for --set, the search and retraining."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import by_leaf, override, parse_assignment, with_defaults
from raytl.config.schema import Experiment
from raytl.errors import ConfigError

BASE = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})


def test_an_override_leaves_the_original_as_it_was() -> None:
    changed = override(BASE, {"optim.lr": 0.1, "transfer.unfreeze": "all"})
    assert (changed.optim.lr, changed.transfer.unfreeze) == (0.1, "all")
    assert (BASE.optim.lr, BASE.transfer.unfreeze) == (0.001, 2)
    assert override(BASE, {}) == BASE


def test_a_mapping_for_a_section_sets_only_its_keys() -> None:
    base = override(BASE, {"augment.mixup": 0.2})
    assert override(base, {"augment": {"strength": 1}}).augment.mixup == 0.2


def test_class_weights_are_one_value() -> None:
    base = override(BASE, {"train.class_weights": {"cat": 1.0}})
    assert override(base, {"train.class_weights": {"dog": 2.0}}).train.class_weights == {"dog": 2.0}
    assert override(BASE, {"train.class_weights.cat": 2.0}).train.class_weights == {"cat": 2.0}


def test_an_unknown_key_is_refused_with_a_near_one() -> None:
    expected = r"experiment a: 1 problem\n  override optim.lrr: unknown key; .*\n    -> did you mean 'lr'\?"
    with pytest.raises(ConfigError, match=expected):
        override(BASE, {"optim.lrr": 0.1})


def test_keys_together_are_checked_again() -> None:
    with pytest.raises(
        ConfigError, match=r"override transfer.head_first: transfer.head_first: found 1|transfer.head_first: found 1"
    ):
        override(BASE, {"train.epochs": 1, "transfer.head_first": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim.lr=1e-3", ("optim.lr", 0.001)),
        ("data.uri=s3://bucket/a=b", ("data.uri", "s3://bucket/a=b")),
        ("transfer.gradual=true", ("transfer.gradual", True)),
        ("optim.clip_norm=null", ("optim.clip_norm", None)),
        ("optim.clip_norm=", ("optim.clip_norm", None)),
        ("train.class_weights={a: 1, b: 2}", ("train.class_weights", {"a": 1, "b": 2})),
        ("model.preprocess.mean=[0.5, 0.5, 0.5]", ("model.preprocess.mean", [0.5, 0.5, 0.5])),
        ("name='1'", ("name", "1")),
        (" name = x", ("name", "x")),
        ("data.uri=/x/base #2", ("data.uri", "/x/base #2")),
        ("data.uri=#2", ("data.uri", "#2")),
        ("data.uri=/x/a: b", ("data.uri", "/x/a: b")),
        ("data.uri=a, b]", ("data.uri", "a, b]")),
        ("name=- a", ("name", "- a")),
        ("name=it's", ("name", "it's")),
        ("name='a #2'", ("name", "a #2")),
        ('name="a\\tb"', ("name", "a\tb")),
        ("model.preprocess.mean=[1, 'a #2']", ("model.preprocess.mean", [1, "a #2"])),
        *((f"name={mark}a b", ("name", f"{mark}a b")) for mark in "@*&%`!|>?-,"),
    ],
)
def test_an_assignment_is_read_as_in_the_file(text: str, expected: tuple[str, Any]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["optim.lr", "=1", "a..b=1", ".a=1", ""])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a\.b=value, such as --set optim.lr=1e-3"):
        parse_assignment(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a='x' #2", r"the value is followed by '#2'; put it in quotes if it is text"),
        ("a=[1, 2] #2", r"followed by '#2'"),
        ("a=[old] photos", r"not YAML|followed by 'photos'"),
        ("a='x' y", r"not YAML|followed by 'y'"),
        ("a={uri: /x #2}", r"not YAML"),
        ("a={b: 1, b: 2}", r"a mapping with the key 'b' twice"),
        ("a='x", r"not YAML"),
    ],
)
def test_no_text_behind_a_value_is_dropped(text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parse_assignment(text)


def test_a_value_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"--set a=\[1: the value is not YAML: .*put it in quotes if it is text: --set 'a=\"\[1\"'$"
    ):
        parse_assignment("a=[1")


def test_defaults_fill_the_keys_that_are_not_set() -> None:
    whole = with_defaults(override(BASE, {"train.epochs": 3}), {"train.epochs": 9, "transfer.unfreeze": 5})
    assert (whole.train.epochs, whole.transfer.unfreeze) == (3, 5)
    assert with_defaults(whole, {"train.epochs": 9, "transfer.unfreeze": 1}) is whole


def test_a_default_that_cannot_take_effect_is_left_out() -> None:
    frozen = override(BASE, {"transfer.unfreeze": 0})
    whole = with_defaults(frozen, {"transfer.lr_decay": 0.5, "train.epochs": 9})
    assert whole.train.epochs == 9
    assert whole.transfer.lr_decay == BASE.transfer.lr_decay


def test_sections_are_written_out_by_key() -> None:
    given = {
        "data": "photos",
        "model": {"name": "m", "preprocess": {"image_px": 96}},
        "optim.lr": 0.1,
        "search.space": {},
    }
    assert by_leaf(given) == {
        "data.uri": "photos", "model.name": "m", "model.preprocess.image_px": 96, "optim.lr": 0.1, "search.space": {}
    }  # fmt: skip
