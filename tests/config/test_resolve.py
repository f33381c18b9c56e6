"""An experiment made in Python: the same rules and errors as in a file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from raytl.config import shape
from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.config.schema import DataConfig, Experiment, TransferConfig
from raytl.errors import ConfigError

BASE: dict[str, Any] = {"name": "trash", "data": "photos/", "model": "mobilenetv2_100"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_arguments_make_the_experiment_that_the_file_makes(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "name: trash\ndata: photos/\nmodel: mobilenetv2_100\ntransfer: {unfreeze: 3}\nsearch: {budget: {wall: 2 h}}\n",
    )
    made = Experiment(**BASE, transfer={"unfreeze": 3}, search={"budget": {"wall": "2 h"}})
    assert made == load_experiment(file)
    assert (made.data.uri, made.model.name, made.search.budget.wall) == ("photos/", "mobilenetv2_100", 7200)
    assert load_experiment(written(tmp_path, to_yaml(made))) == made


def test_sections_and_paths_are_taken_too() -> None:
    made = Experiment(name="x", data=Path("photos"), model="m", transfer=TransferConfig(unfreeze="all"))
    assert made.data == DataConfig(uri="photos")
    assert made.transfer.unfreeze == "all"


def test_every_problem_comes_at_once_with_suggestions_and_no_traceback_of_pydantic() -> None:
    with pytest.raises(ConfigError, match="4 problems") as caught:
        Experiment(nmae="x", data={"uri": "d", "val_fraction": 15}, model="m", transfer={"unfreez": 3})  # type: ignore[call-arg]
    assert str(caught.value).splitlines()[0] == "Experiment: 4 problems"
    for text in (
        "Experiment: nmae: unknown key",
        "did you mean 'name'?",
        "Experiment: name: missing; expected text",
        "found 15; expected a number of at least 0 and below 1",
        "did you mean 'unfreeze'?",
    ):
        assert text in str(caught.value)
    assert not isinstance(caught.value, ValidationError)


def test_rules_between_keys_hold() -> None:
    with pytest.raises(ConfigError, match=r"transfer.lr_decay: cannot take effect"):
        Experiment(**BASE, transfer={"unfreeze": 0, "lr_decay": 0.5})


def test_an_experiment_is_frozen_and_survives_copies_and_pickling() -> None:
    made = Experiment(**BASE)
    with pytest.raises(ValidationError, match="frozen"):
        made.name = "other"
    assert pickle.loads(pickle.dumps(made)) == made == made.model_copy()


def test_its_text_shows_what_was_set() -> None:
    assert repr(Experiment(**BASE)) == (
        "Experiment(name='trash', data={'uri': 'photos/'}, model={'name': 'mobilenetv2_100'})"
    )


def test_a_shorthand_keeps_the_other_keys_of_its_section(tmp_path: Path) -> None:
    file = written(tmp_path, "name: x\ndata: {uri: photos/, val_fraction: 0.3}\nmodel: a\n")
    made = load_experiment(file, ["data=others/", "model.dropout=0.1", "model=b"])
    assert (made.data.uri, made.data.val_fraction) == ("others/", 0.3)
    assert (made.model.name, made.model.dropout) == ("b", 0.1)
    assert override(made, {"data": "third/"}).data.uri == "third/"


def test_a_fault_in_a_shorthand_names_its_line_or_option(tmp_path: Path) -> None:
    file = written(tmp_path, "name: x\ndata: ${NOWHERE_SET}\nmodel: 5\n")
    with pytest.raises(ConfigError, match=r"experiment.yaml:2: data.uri: .*NOWHERE_SET(.|\n)*experiment.yaml:3: model"):
        load_experiment(file)


def test_the_home_folder_stands_for_the_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert Experiment(**BASE | {"data": "~/photos"}).data.uri == "/somewhere/photos"


def test_editors_accept_the_shorthands() -> None:
    jsonschema.Draft202012Validator.check_schema(shape.editor_schema())
    jsonschema.validate(yaml.safe_load("name: x\ndata: photos/\nmodel: m\n"), shape.editor_schema())
    with pytest.raises(jsonschema.ValidationError, match="5 is not valid"):
        jsonschema.validate(yaml.safe_load("name: x\ndata: 5\nmodel: m\n"), shape.editor_schema())
