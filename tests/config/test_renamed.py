"""A renamed key is an error that names the new one in a user's file, and is understood in what an older raytl stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config import shape
from raytl.config.load import load_experiment
from raytl.config.renamed import RENAMED, translated
from raytl.config.stored import read_stored
from raytl.errors import ConfigError

HEAD = "name: trash\ndata:\n  uri: photos\nmodel: {name: resnet18}\n"
OLD = {
    "augment.colour": "name: a\ndata: {uri: x}\nmodel: {name: m}\naugment:\n  colour: false\n",
    "data.sides": "name: a\ndata:\n  uri: x\n  sides: s.jsonl\nmodel: {name: m}\n",
    "retrain.how.vanished_classes": "name: a\ndata: {uri: x}\nretrain: {how: {vanished_classes: drop}}\nmodel: {name: m}\n",
    "search.share": "name: a\ndata: {uri: x}\nmodel: {name: m}\nsearch:\n  share: 'off'\n",
}
LINES = {"augment.colour": 5, "data.sides": 4, "retrain.how.vanished_classes": 3, "search.share": 5}


@pytest.mark.parametrize("old", list(RENAMED))
def test_an_old_key_in_a_file_is_an_error_with_its_line_and_the_new_key(old: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(OLD[old])
    with pytest.raises(ConfigError, match="1 problem") as caught:
        load_experiment(path)
    assert str(caught.value).splitlines()[1:] == [
        f"  {path}:{LINES[old]}: {old}: renamed to {RENAMED[old]}",
        f"    -> write {RENAMED[old]} instead",
    ]


@pytest.mark.parametrize("old", list(RENAMED))
def test_an_old_key_on_the_command_line_is_an_error_with_the_new_key(old: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(HEAD)
    with pytest.raises(ConfigError, match=f"--set {old}: renamed to {RENAMED[old]}"):
        load_experiment(path, [f"{old}=x"])


def test_old_keys_of_a_stored_experiment_are_read_under_their_new_names() -> None:
    stored = read_stored(OLD["data.sides"].encode(), "run")
    assert stored.recipe.data.split_file == "s.jsonl"
    assert stored.unknown == ()
    assert read_stored(OLD["search.share"].encode(), "run").settings == {"search.feature_cache": "off"}
    assert read_stored(OLD["augment.colour"].encode(), "run").recipe.augment.color is False
    retrain = read_stored(OLD["retrain.how.vanished_classes"].encode(), "run")
    assert retrain.settings == {"retrain.how.removed_classes": "drop"}
    assert retrain.unknown == ()


def test_the_new_name_counts_where_both_are_stored() -> None:
    assert translated({"data": {"sides": "old", "split_file": "new"}}) == {"data": {"split_file": "new"}}


def test_a_section_that_is_no_section_is_left_alone() -> None:
    assert translated({"data": "x", "search": None, "retrain": {"how": 3}}) == {
        "data": "x",
        "search": None,
        "retrain": {"how": 3},
    }


def test_every_new_name_is_a_key_and_no_old_one_is() -> None:
    assert set(RENAMED.values()) <= set(shape.all_keys())
    assert not set(RENAMED) & set(shape.all_keys())
